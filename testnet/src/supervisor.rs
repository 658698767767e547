//! The loop that runs a network: starts the processes, watches them, obeys commands, ends them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    time::{Duration, Instant},
};

use crate::{
    Event, TestnetError, TestnetOptions, Wallet,
    child::{Launch, Process, describe, ready_path},
    control::{Command, Control},
    development_wallets, files,
    plan::{self, Prepared},
    signals::Signals,
    state::{self, ARWEAVE, State},
    steer, wallets,
};

/// How often children are looked after.
const TICK: Duration = Duration::from_millis(50);
/// How often logs are kept within bounds.
const LOGS_EVERY: Duration = Duration::from_secs(10);
/// Commands that may wait; more are refused.
const COMMANDS: usize = 16;
/// `status` holds the lock for a moment: attempts to take it, with a tick between them.
const LOCK_ATTEMPTS: usize = 10;

/// Runs a local network in the calling thread until Ctrl-C, SIGTERM or [`down`](crate::down): starts or resumes it, tells
/// `on_event` what happens, and ends its processes before it returns. Should this process be killed, its children are too.
///
/// # Errors
/// When options are wrong, the folder is in use or not a testnet's, or a process does not become ready. Nothing runs then.
pub fn up(options: &TestnetOptions, on_event: impl FnMut(Event)) -> Result<(), TestnetError> {
    options.check()?;
    let (options, _lock) = enter(options)?;
    if options.reset {
        steer::clear(&options.dir)?;
    }
    let prepared = plan::prepare(&options)?;
    let (sender, commands) = sync_channel(COMMANDS);
    let _signals = Signals::forward(sender.clone()).map_err(TestnetError::io("catch signals in", &options.binary))?;
    let control = Control::listen(&options.dir, sender)?;
    let mut supervisor = Supervisor {
        processes: processes(&options, &prepared),
        starting: BTreeMap::new(),
        control: control.path().to_owned(),
        options,
        commands,
        stop: Stop::No,
        on_event,
    };
    let outcome = supervisor.run(prepared);
    supervisor.stop();
    outcome.and(supervisor.save())
}

/// The options with absolute paths, and the folder's lock.
fn enter(options: &TestnetOptions) -> Result<(TestnetOptions, File), TestnetError> {
    let absolute = |path: &Path| fs::canonicalize(path).map_err(TestnetError::io("find", path));
    files::make_folder(&options.dir)?;
    let options =
        TestnetOptions { dir: absolute(&options.dir)?, binary: absolute(&options.binary)?, ..options.clone() };
    if !steer::is_ours(&options.dir)? {
        return Err(TestnetError::ForeignFolder { dir: options.dir });
    }
    for _ in 0..LOCK_ATTEMPTS {
        if let Some(lock) = state::lock(&options.dir)? {
            return Ok((options, lock));
        }
        state::pause(TICK);
    }
    Err(TestnetError::Running { dir: options.dir })
}

/// The devnet first, then the nodes in order.
fn processes(options: &TestnetOptions, prepared: &Prepared) -> Vec<Process> {
    let process = |name: &str, arguments, port| {
        let log = options.dir.join(name).join("log");
        let launch = Launch { arguments, port, ready_path: ready_path(name) };
        Process::new(name.to_owned(), options.binary.clone(), log, launch)
    };
    let gateway = prepared.gateway.first().copied().unwrap_or_default();
    let nodes = prepared.plan.nodes.iter().map(|node| {
        let config = options.dir.join(&node.name).join("node.toml");
        let arguments =
            ["node", "run", "--config"].map(str::to_owned).into_iter().chain([config.display().to_string()]);
        process(&node.name, arguments.collect(), node.http.first().copied().unwrap_or_default())
    });
    std::iter::once(process(ARWEAVE, devnet_arguments(options, &prepared.gateway), gateway)).chain(nodes).collect()
}

fn devnet_arguments(options: &TestnetOptions, ports: &[u16]) -> Vec<String> {
    let mut arguments: Vec<String> = vec!["arweave".to_owned(), "devnet".to_owned()];
    let mut argument = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    for port in ports {
        argument("--listen", format!("127.0.0.1:{port}"));
    }
    argument("--data", options.dir.join(ARWEAVE).join("data").display().to_string());
    argument("--block-interval", format!("{}ms", options.block_interval.as_millis()));
    for Wallet { address, .. } in development_wallets().into_iter().chain(wallets::payers()) {
        argument("--mint", format!("{address}:{}", wallets::MINTED_WINSTON));
    }
    arguments
}

/// How urgently the network shall end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    No,
    Asked,
    AtOnce,
}

struct Supervisor<F> {
    options: TestnetOptions,
    processes: Vec<Process>,
    /// Processes that are not ready yet, by place, and since when.
    starting: BTreeMap<usize, Instant>,
    control: PathBuf,
    commands: Receiver<Command>,
    stop: Stop,
    on_event: F,
}

impl<F: FnMut(Event)> Supervisor<F> {
    /// Until asked to stop.
    fn run(&mut self, prepared: Prepared) -> Result<(), TestnetError> {
        (self.on_event)(Event::Planned { resumed: prepared.resumed });
        for moved in prepared.moved {
            (self.on_event)(Event::PortMoved(moved));
        }
        // The nodes ask the gateway things as they start.
        self.bring_up(0..1)?;
        self.bring_up(1..self.processes.len())?;
        if self.stop == Stop::No {
            (self.on_event)(Event::Up(Box::new(prepared.plan)));
        }
        let mut logs = Instant::now();
        while self.stop == Stop::No {
            for (at, status) in self.tick() {
                self.report_death(at, status)?;
            }
            self.give_up_waiting();
            if logs.elapsed() >= LOGS_EVERY {
                logs = Instant::now();
                self.bound_logs();
            }
        }
        Ok(())
    }

    /// Starts some processes and waits until all are ready (or a stop is asked).
    fn bring_up(&mut self, places: std::ops::Range<usize>) -> Result<(), TestnetError> {
        for at in places {
            if self.stop == Stop::No {
                self.start(at)?;
            }
        }
        while self.stop == Stop::No && !self.starting.is_empty() {
            if let Some((at, status)) = self.tick().into_iter().next() {
                return Err(self.not_ready(at, describe(status)));
            }
            let late = |since: &Instant| since.elapsed() >= self.options.ready_within;
            if let Some((at, _)) = self.starting.iter().find(|(_, since)| late(since)) {
                let why = format!("no ready answer within {} s", self.options.ready_within.as_secs());
                return Err(self.not_ready(*at, why));
            }
        }
        Ok(())
    }

    fn start(&mut self, at: usize) -> Result<u32, TestnetError> {
        let Some(process) = self.processes.get_mut(at) else { return Ok(0) };
        let pid = process.start()?;
        let name = process.name.clone();
        self.starting.insert(at, Instant::now());
        (self.on_event)(Event::Started { name, pid });
        self.save()?;
        Ok(pid)
    }

    /// One round: obeys a command if one comes, looks which starting processes are ready, and gives those that ended.
    fn tick(&mut self) -> Vec<(usize, ExitStatus)> {
        match self.commands.recv_timeout(TICK) {
            Ok(command) => self.obey(command),
            Err(RecvTimeoutError::Timeout) => {}
            // Both senders live as long as this loop; without them nobody could stop it.
            Err(RecvTimeoutError::Disconnected) => self.stop = Stop::Asked,
        }
        let ended = self.ended();
        for (at, _) in &ended {
            self.starting.remove(at);
        }
        let ready: Vec<usize> = self.starting.keys().copied().filter(|at| self.is_ready(*at)).collect();
        for at in ready {
            if let (Some(since), Some(process)) = (self.starting.remove(&at), self.processes.get(at)) {
                (self.on_event)(Event::Ready { name: process.name.clone(), after: since.elapsed() });
            }
        }
        ended
    }

    fn is_ready(&self, at: usize) -> bool {
        self.processes.get(at).is_some_and(Process::ready)
    }

    fn ended(&mut self) -> Vec<(usize, ExitStatus)> {
        let ended = |(at, process): (usize, &mut Process)| process.ended().map(|status| (at, status));
        self.processes.iter_mut().enumerate().filter_map(ended).collect()
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Stop => self.stop = if self.stop == Stop::No { Stop::Asked } else { Stop::AtOnce },
            Command::Down(reply) => {
                self.stop = self.stop.max(Stop::Asked);
                // Whoever asked may be gone.
                let _ = reply.send(Ok("stopping".to_owned()));
            }
            Command::Kill(name, reply) => {
                let answer = self.kill(&name);
                let _ = reply.send(answer);
            }
            Command::Start(name, reply) => {
                let answer = self.start_again(&name);
                let _ = reply.send(answer);
            }
        }
    }

    fn kill(&mut self, name: &str) -> Result<String, String> {
        let at = self.place(name)?;
        let process = self.processes.get_mut(at).filter(|process| process.running());
        process.ok_or_else(|| format!("{name} is not running; start it with `weft testnet start {name}`"))?.kill();
        self.starting.remove(&at);
        (self.on_event)(Event::Killed { name: name.to_owned() });
        self.save().map_err(|error| error.to_string())?;
        Ok(format!("{name} killed"))
    }

    fn start_again(&mut self, name: &str) -> Result<String, String> {
        let at = self.place(name)?;
        if self.stop != Stop::No {
            return Err("the testnet is stopping".to_owned());
        }
        if self.processes.get(at).is_some_and(Process::running) {
            return Err(format!("{name} is already running"));
        }
        self.start(at).map(|pid| format!("{name} started as process {pid}")).map_err(|error| error.to_string())
    }

    fn place(&self, name: &str) -> Result<usize, String> {
        let place = self.processes.iter().position(|process| process.name == name);
        place.ok_or_else(|| format!("there is no {name}"))
    }

    fn report_death(&mut self, at: usize, status: ExitStatus) -> Result<(), TestnetError> {
        if let Some(process) = self.processes.get(at) {
            let (name, how) = (process.name.clone(), describe(status));
            let (log, last_lines) = (process.log.clone(), process.last_lines());
            (self.on_event)(Event::Died { name, how, log, last_lines });
        }
        self.save()
    }

    /// A process started again that is not ready in time is mentioned once; it may still come.
    fn give_up_waiting(&mut self) {
        let within = self.options.ready_within;
        let late: Vec<usize> =
            self.starting.iter().filter(|(_, since)| since.elapsed() >= within).map(|(at, _)| *at).collect();
        for at in late {
            self.starting.remove(&at);
            if let Some(process) = self.processes.get(at) {
                let text = format!("{} runs but is not ready after {} s", process.name, within.as_secs());
                (self.on_event)(Event::Warning(text));
            }
        }
    }

    fn bound_logs(&mut self) {
        for process in &self.processes {
            if let Err(error) = process.bound_log() {
                (self.on_event)(Event::Warning(format!("cannot shorten {}: {error}", process.log.display())));
            }
        }
    }

    fn not_ready(&self, at: usize, why: String) -> TestnetError {
        let (name, log, lines) = match self.processes.get(at) {
            Some(process) => (process.name.clone(), process.log.clone(), process.last_lines().join("\n")),
            None => (String::new(), PathBuf::new(), String::new()),
        };
        TestnetError::NotReady { name, why, log, lines }
    }

    /// Ends the nodes, then the devnet they use.
    fn stop(&mut self) {
        if self.processes.iter().any(Process::running) {
            (self.on_event)(Event::Stopping);
        }
        self.stop_some(1..self.processes.len());
        self.stop_some(0..1);
    }

    fn stop_some(&mut self, places: std::ops::Range<usize>) {
        let mut left: Vec<usize> = Vec::new();
        for at in places {
            if let Some(process) = self.processes.get(at).filter(|process| process.running()) {
                process.terminate();
                left.push(at);
            }
        }
        let asked = Instant::now();
        while !left.is_empty() && self.stop != Stop::AtOnce && asked.elapsed() < self.options.stop_within {
            for (at, _) in self.tick() {
                left.retain(|other| *other != at);
                self.stopped(at, false);
            }
        }
        for at in left {
            if let Some(process) = self.processes.get_mut(at) {
                process.kill();
            }
            self.stopped(at, true);
        }
    }

    fn stopped(&mut self, at: usize, forced: bool) {
        if let Some(process) = self.processes.get(at) {
            (self.on_event)(Event::Stopped { name: process.name.clone(), forced });
        }
    }

    fn save(&self) -> Result<(), TestnetError> {
        let state = State {
            supervisor: std::process::id(),
            binary: self.options.binary.clone(),
            control: self.control.clone(),
            processes: self.processes.iter().map(Process::state).collect(),
        };
        state.save(&self.options.dir)
    }
}
