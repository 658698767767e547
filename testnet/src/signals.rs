//! Ctrl-C and SIGTERM, as commands to the supervisor.

use std::{io, sync::mpsc::SyncSender, thread};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use crate::control::Command;

/// Forwards signals until dropped.
pub(crate) struct Signals {
    /// Dropping it ends the thread.
    _stop: oneshot::Sender<()>,
}

impl Signals {
    /// From now on Ctrl-C (SIGINT), SIGTERM and SIGHUP send [`Command::Stop`].
    pub fn forward(commands: SyncSender<Command>) -> io::Result<Self> {
        let (stop, mut stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut interrupt, mut terminate, mut hangup) = {
            let _inside = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
        };
        let forward = async move {
            loop {
                let received = tokio::select! {
                    received = interrupt.recv() => received,
                    received = terminate.recv() => received,
                    received = hangup.recv() => received,
                    _ = &mut stopped => None,
                };
                // A full queue means that a stop is already on its way.
                if received.is_none()
                    || matches!(commands.try_send(Command::Stop), Err(std::sync::mpsc::TrySendError::Disconnected(_)))
                {
                    return;
                }
            }
        };
        thread::Builder::new().name("weft-signals".to_owned()).spawn(move || runtime.block_on(forward))?;
        Ok(Self { _stop: stop })
    }
}
