use sluicegate_xsk::{Queue, RxPacket};

fn keep<'a>(queue: &mut Queue, kept: &mut Vec<RxPacket<'a>>) {
    let _ = queue.turn(&mut |packet| kept.push(packet));
}

fn main() {
    let _ = keep;
}
