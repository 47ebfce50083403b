//! The right use, so that the others fail for their own reasons; and what `Queue` is, and is not.
use std::time::Duration;

use sluicegate_xsk::{Queue, QueueError};

fn is_send<T: Send>() {}

/// Were `Queue` `Sync`, two implementations would fit below, and the compiler would not know which is meant.
trait NotSync<Marker> {
    fn assert() {}
}

struct IsSync;

impl<T: ?Sized> NotSync<()> for T {}
impl<T: ?Sized + Sync> NotSync<IsSync> for T {}

fn serve(queue: &mut Queue, seen: &mut Vec<usize>) -> Result<(), QueueError> {
    queue.turn(&mut |mut packet| {
        seen.push(packet.len());
        packet.window()[0] = 1;
        packet.transmit(60);
    })?;
    queue.transmit_with(|room| {
        room.fill(0);
        Some(60)
    })?;
    queue.idle(Duration::from_millis(1), None)?;
    Ok(())
}

fn main() {
    is_send::<Queue>();
    <Queue as NotSync<_>>::assert();
    let _ = serve;
}
