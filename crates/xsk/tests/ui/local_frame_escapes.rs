use sluicegate_xsk::Queue;

fn keep<'a>(queue: &mut Queue, kept: &mut Vec<&'a mut [u8]>) {
    let _ = queue.transmit_with(|room| {
        kept.push(room);
        None
    });
}

fn main() {
    let _ = keep;
}
