//! The ring against the real kernel: loopback sockets and files of a temporary directory.

#![allow(clippy::wildcard_enum_match_arm)] // A test names only the completion that it expects.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use super::*;

/// Turns a test waits for a completion before it gives up.
const TURNS_MAX: usize = 20_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner(u32);

fn ring() -> Ring<Owner> {
    Ring::new(&Waker::new().unwrap()).expect("this machine has io_uring")
}

fn next(ring: &mut Ring<Owner>) -> Completion<Owner> {
    for _ in 0..TURNS_MAX {
        ring.turn().unwrap();
        if let Some(completion) = ring.next_completion() {
            return completion;
        }
        thread::sleep(Duration::from_micros(200));
    }
    panic!("the kernel completed nothing: {ring:?}");
}

/// A pair of connected sockets: the far one blocking, the near one in the ring.
fn pair(ring: &mut Ring<Owner>, owner: Owner) -> (TcpStream, SocketKey) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let near = OwnedFd::from(listener.accept().unwrap().0);
    (far, ring.add(near, owner))
}

fn received(completion: Completion<Owner>) -> ReceivedBytes {
    match completion {
        Completion::Received { bytes, .. } => bytes,
        other => panic!("expected bytes, got {other:?}"),
    }
}

#[test]
fn connections_are_accepted_until_the_listener_closes() {
    let mut ring = ring();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let key = ring.listen(listener.into(), Owner(7));
    for _ in 0..3 {
        let mut far = TcpStream::connect(address).unwrap();
        let Completion::Accepted { owner, socket } = next(&mut ring) else { panic!("no accept") };
        assert_eq!(owner, Owner(7));
        TcpStream::from(socket).write_all(b"hello").unwrap();
        let mut text = String::new();
        far.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }
    ring.close_listener(key);
    while ring.operations_in_flight() > 0 {
        ring.turn().unwrap();
        assert!(ring.next_completion().is_none());
    }
    TcpStream::connect(address).unwrap_err();
}

#[test]
fn bytes_arrive_in_order_and_the_end_is_told() {
    let mut ring = ring();
    let (mut far, key) = pair(&mut ring, Owner(1));
    ring.receive(&key);
    let sent: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    let expected = sent.clone();
    let writer = thread::spawn(move || far.write_all(&sent).unwrap());
    let mut got = Vec::new();
    loop {
        match next(&mut ring) {
            Completion::Received { bytes, .. } => got.extend_from_slice(&bytes),
            Completion::ReceiveEnded { error, .. } => {
                assert!(error.is_none());
                break;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    writer.join().unwrap();
    assert_eq!(got, expected);
    ring.close(key);
    assert_eq!(ring.operations_in_flight(), 0);
}

#[test]
fn a_receive_without_a_free_buffer_goes_on_when_one_is_given_back() {
    let mut ring = ring();
    let (mut far, key) = pair(&mut ring, Owner(1));
    ring.receive(&key);
    let mut held = Vec::new();
    for round in 0..RECEIVE_BUFFER_COUNT {
        far.write_all(&round.to_le_bytes()).unwrap();
        held.push(received(next(&mut ring)));
    }
    far.write_all(b"late").unwrap();
    for _ in 0..50 {
        ring.turn().unwrap();
        assert!(ring.next_completion().is_none());
        thread::sleep(Duration::from_micros(200));
    }
    assert!(ring.starved_count() > 0);
    held.pop();
    assert_eq!(&*received(next(&mut ring)), b"late");
}

#[test]
fn a_paused_socket_receives_nothing_until_it_is_resumed() {
    let mut ring = ring();
    let (mut far, key) = pair(&mut ring, Owner(1));
    ring.receive(&key);
    far.write_all(b"one").unwrap();
    assert_eq!(&*received(next(&mut ring)), b"one");
    ring.pause(&key);
    while ring.operations_in_flight() > 0 {
        ring.turn().unwrap();
        assert!(ring.next_completion().is_none());
    }
    far.write_all(b"two").unwrap();
    ring.turn().unwrap();
    assert!(ring.next_completion().is_none());
    ring.receive(&key);
    assert_eq!(&*received(next(&mut ring)), b"two");
    // Resumed before the kernel has heard of the pause.
    ring.pause(&key);
    ring.receive(&key);
    far.write_all(b"three").unwrap();
    assert_eq!(&*received(next(&mut ring)), b"three");
}

#[test]
fn a_send_of_many_parts_is_reported_once_and_whole() {
    let mut ring = ring();
    let (mut far, key) = pair(&mut ring, Owner(4));
    let big = SharedBytes::from(vec![b'x'; 5_000_000].as_slice());
    let parts = vec![
        SendPart::Owned(b"head".to_vec()),
        SendPart::Shared(big.slice(0, 4_000_000)),
        SendPart::Static(b"."),
        SendPart::Shared(big.slice(7, 100)),
    ];
    ring.send_parts(&key, parts);
    ring.turn().unwrap();
    let reader = thread::spawn(move || {
        let mut all = vec![0; 4 + 4_000_000 + 1 + 100];
        far.read_exact(&mut all).unwrap();
        (far, all)
    });
    let Completion::Sent { owner, result, .. } = next(&mut ring) else { panic!("not sent") };
    assert_eq!(owner, Owner(4));
    result.unwrap();
    let (mut far, all) = reader.join().unwrap();
    assert!(all.starts_with(b"headxxx"));
    assert_eq!(all.iter().filter(|&&byte| byte == b'x').count(), 4_000_100);
    assert_eq!(all[4_000_004], b'.');

    ring.send(&key, b"bye".to_vec());
    let Completion::Sent { spare, .. } = next(&mut ring) else { panic!("not sent") };
    assert!(spare.is_empty());
    assert!(spare.capacity() >= 3);
    ring.finish_sending(&key);
    let mut text = String::new();
    far.read_to_string(&mut text).unwrap();
    assert_eq!(text, "bye");
}

#[test]
fn a_connection_dropped_with_operations_in_flight_says_nothing_more() {
    let mut ring = ring();
    let (mut far, key) = pair(&mut ring, Owner(1));
    ring.receive(&key);
    // More than the socket buffers hold, so that the send hangs.
    ring.send(&key, vec![b'y'; 30_000_000]);
    ring.turn().unwrap();
    assert!(ring.next_completion().is_none());
    assert_eq!(ring.operations_in_flight(), 2);
    ring.close(key);
    while ring.operations_in_flight() > 0 {
        ring.turn().unwrap();
        assert!(ring.next_completion().is_none());
    }
    // The far side sees the connection end rather than hang.
    let mut rest = Vec::new();
    let _ = far.read_to_end(&mut rest);
    assert!(rest.len() < 30_000_000);
}

#[test]
fn a_peer_that_vanished_is_an_error_of_the_send() {
    let mut ring = ring();
    let (far, key) = pair(&mut ring, Owner(1));
    drop(far);
    let mut failures = 0;
    for _ in 0..3 {
        ring.send(&key, vec![b'z'; 100_000]);
        let Completion::Sent { result, .. } = next(&mut ring) else { panic!("not sent") };
        failures += u32::from(result.is_err());
    }
    assert!(failures >= 2);
}

#[test]
fn a_connect_succeeds_or_tells_why_not() {
    let mut ring = ring();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let socket = |ring: &mut Ring<Owner>| {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        ring.add(socket.into(), Owner(9))
    };
    let key = socket(&mut ring);
    ring.connect(&key, address);
    let Completion::Connected { owner, result } = next(&mut ring) else { panic!("no connect") };
    assert_eq!(owner, Owner(9));
    result.unwrap();
    drop(listener);
    let key = socket(&mut ring);
    ring.connect(&key, address);
    let Completion::Connected { result, .. } = next(&mut ring) else { panic!("no connect") };
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn the_timer_takes_the_earliest_time() {
    let mut ring = ring();
    let now = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let us = time.tv_sec * 1_000_000 + time.tv_nsec / 1_000;
        Now::from_us(u64::try_from(us).unwrap())
    };
    let start = now();
    ring.set_timer(start + Duration::from_secs(3_600));
    ring.turn().unwrap();
    ring.set_timer(start + Duration::from_millis(20));
    ring.set_timer(start + Duration::from_secs(60));
    assert!(matches!(next(&mut ring), Completion::TimerExpired));
    assert!(now() >= start + Duration::from_millis(20));
    ring.set_timer(now());
    assert!(matches!(next(&mut ring), Completion::TimerExpired));
}

#[test]
fn file_bytes_are_written_durably_and_read_back() {
    let mut ring = ring();
    let directory = tempfile::tempdir().unwrap();
    let file = Rc::new(
        File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(directory.path().join("segment"))
            .unwrap(),
    );
    let mut image = Image::new(4 * BLOCK_BYTES);
    image.free().fill(b'm');
    ring.write(&file, 8_192, image.freeze(2 * BLOCK_BYTES), true, Owner(3));
    let Completion::Written { owner, result } = next(&mut ring) else { panic!("not written") };
    assert_eq!(owner, Owner(3));
    result.unwrap();
    ring.read(&file, 4_096, 2 * BLOCK_BYTES, Owner(5));
    let Completion::Read { owner, result } = next(&mut ring) else { panic!("not read") };
    assert_eq!(owner, Owner(5));
    let bytes = result.unwrap();
    assert_eq!(&bytes[..BLOCK_BYTES], &[0; BLOCK_BYTES]);
    assert_eq!(&bytes[BLOCK_BYTES..], &[b'm'; BLOCK_BYTES]);
    // Past the end of the file.
    ring.read(&file, 12_288, 2 * BLOCK_BYTES, Owner(5));
    let Completion::Read { result, .. } = next(&mut ring) else { panic!("not read") };
    result.unwrap_err();
}

#[test]
fn more_operations_than_the_queue_holds_all_complete() {
    let mut ring = ring();
    let directory = tempfile::tempdir().unwrap();
    let file = Rc::new(File::create_new(directory.path().join("many")).unwrap());
    let count = RING_ENTRIES * 3;
    let bytes = SharedBytes::from(&b"0123456789abcdef"[..]);
    for n in 0..count {
        ring.write(&file, u64::from(n) * 16, bytes.clone(), false, Owner(n));
    }
    let mut seen = vec![false; count as usize];
    for _ in 0..count {
        let Completion::Written { owner, result } = next(&mut ring) else { panic!("odd") };
        result.unwrap();
        assert!(!std::mem::replace(&mut seen[owner.0 as usize], true));
    }
    assert_eq!(file.metadata().unwrap().len(), u64::from(count) * 16);
}

#[test]
fn another_thread_wakes_a_sleeping_shard() {
    let waker = Waker::new().unwrap();
    let other = waker.clone();
    let sleeper = glommio::LocalExecutorBuilder::default()
        .io_memory(64 << 10)
        .ring_depth(16)
        .spawn(move || async move {
            let mut ring: Ring<Owner> = Ring::new(&waker).unwrap();
            let sleep = Sleep::new(&waker).unwrap();
            sleep.wait().await.unwrap();
            // The kernel wakes it, too, though nobody looks at the ring.
            ring.set_timer(Now::from_us(1));
            ring.turn().unwrap();
            sleep.wait().await.unwrap();
            ring.turn().unwrap();
            assert!(matches!(ring.next_completion(), Some(Completion::TimerExpired)));
        })
        .unwrap();
    other.wake();
    sleeper.join().unwrap();
}
