//! The threads of a pool: take from the table, work without it, put back.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::PoisonError,
    time::{Duration, Instant},
};

use weft_protocol::Id;

use super::{
    Shared, machine,
    seat::{Seat, Turn},
    table::{Next, Phase, Returned, Step, Taken},
};

/// Pause between two looks at the machine's memory.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// One thread, until the pool is closed.
pub(super) fn work(shared: &Shared) {
    let mut looked = Instant::now();
    let mut table = shared.lock();
    loop {
        match table.next(&shared.config) {
            Next::End => break,
            Next::Wait(None) => table = shared.wake.wait(table).unwrap_or_else(PoisonError::into_inner),
            Next::Wait(Some(time)) => {
                table = shared.wake.wait_timeout(table, time).unwrap_or_else(PoisonError::into_inner).0;
                drop(table);
                look(shared, &mut looked);
                table = shared.lock();
            }
            Next::Work(taken) => {
                drop(table);
                evaluate(shared, taken);
                look(shared, &mut looked);
                table = shared.lock();
            }
            Next::Park(process, seat) => {
                drop(table);
                park(shared, process, seat);
                table = shared.lock();
            }
        }
    }
    drop(table);
    shared.ended();
}

/// One turn of one task.
fn evaluate(shared: &Shared, taken: Taken) {
    let Taken { process, mut task, mut seat, module, others } = taken;
    let started = Instant::now();
    let until = started + shared.config.quantum;
    let turn = Turn { process, parking: shared.parking.as_ref(), module, until, others };
    let step = catch_unwind(AssertUnwindSafe(|| task(&mut seat, &turn))).unwrap_or_else(|_| {
        // A task catches what its own work does; this is what it does around that.
        tracing::error!(%process, "a task of the pool panicked; the process's live state is dropped");
        seat.drop_live();
        Step::Done(Box::new(|| {}))
    });
    let refused = matches!(step, Step::NoRoom);
    let (more, reply) = match step {
        Step::Done(reply) => (None, Some(reply)),
        Step::More | Step::NoRoom => (Some(task), None),
    };
    if refused {
        let mut table = shared.lock();
        let (room, stats) = table.room();
        room.shrink(&stats);
    }
    seat.weigh();
    put_back(shared, Returned { process, seat, more, took: started.elapsed() });
    if let Some(reply) = reply {
        reply();
    }
}

/// Puts a process on disk, or forgets it.
fn park(shared: &Shared, process: Id, mut seat: Seat) {
    let (module, slot) = (seat.module().cloned(), seat.next_slot());
    let parked = catch_unwind(AssertUnwindSafe(|| seat.park(&process, shared.parking.as_ref())));
    if parked.is_err() {
        tracing::error!(%process, "parking panicked; the process's live state is dropped");
        seat.drop_live();
    }
    let kept = slot == seat.next_slot();
    // Others pay with what they wait; this process has nothing to pay for.
    put_back(shared, Returned { process, seat, more: None, took: Duration::ZERO });
    let mut table = shared.lock();
    match module.filter(|_| kept) {
        Some(module) => table.know(process, &module),
        None => table.count_evicted(),
    }
}

fn put_back(shared: &Shared, returned: Returned) {
    let max_disk = shared.parking.as_ref().map_or(u64::MAX, |parking| parking.max_bytes());
    let mut table = shared.lock();
    let gone = table.put_back(returned, max_disk);
    let more = table.has_work();
    let count_maps = {
        let (room, stats) = table.room();
        room.wants_maps(&stats)
    };
    drop(table);
    if more {
        shared.wake.notify_one();
    }
    if let Some(parking) = &shared.parking {
        gone.iter().for_each(|process| parking.remove(process));
    }
    if count_maps {
        let maps = machine::maps();
        let mut table = shared.lock();
        let (room, stats) = table.room();
        room.note_maps(maps, &stats);
    }
}

/// Looks now and then at what the machine has left.
fn look(shared: &Shared, looked: &mut Instant) {
    if looked.elapsed() < LOOK_EVERY {
        return;
    }
    *looked = Instant::now();
    let spare = shared.config.spare_bytes;
    let scarce = spare > 0 && machine::available_memory().is_some_and(|left| left < spare);
    let parks = shared.parking.as_ref().is_some_and(|parking| parking.is_healthy());
    let mut table = shared.lock();
    if table.phase() == Phase::Open {
        table.room().0.note(scarce, parks);
    }
}
