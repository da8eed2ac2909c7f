//! The path that every message takes asks the allocator for nothing, once a session has had its
//! first message.

// All of it is test code, the helpers too.
#![allow(clippy::expect_used)]

use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

use allocation_counter::measure;
use ringpost::clock::{Now, WallTime};
use ringpost::ids::MessageId;
use ringpost::proto::server::{
    Conditions, Event, HeaderPolicy, Peer, Role, ServerLimits, ServerPolicy, ServerSession,
    Storage, Stored,
};

const CONDITIONS: Conditions = Conditions {
    now: Now::from_us(1_000_000),
    wall: WallTime::from_unix_ms(1_795_492_893_000),
    storage: Storage::Ready,
    memory_is_short: false,
    draining: false,
};

/// Each is answered before the next is sent, but for the content.
const ONE_BY_ONE: &[&[u8]] = &[
    b"MAIL FROM:<sender@client.example> SIZE=70 BODY=8BITMIME\r\n",
    b"RCPT TO:<first@recipient.example>\r\n",
    b"RCPT TO:<@relay.example:second@recipient.example>\r\n",
    b"RCPT TO:<postmaster>\r\n",
    b"DATA\r\n",
    b"Received: from a by b; now\r\nSubject: hello\r\n",
    b"\r\nhow are you?\r\n..hidden\r\n.\r\n",
];

struct Client {
    session: ServerSession,
    header: Vec<u8>,
    content_bytes: usize,
    replies: Vec<u8>,
}

impl Client {
    /// A session that has had its EHLO.
    fn new() -> Self {
        Self::with(ServerPolicy::plain("mx.example.net", ServerLimits::default()))
    }

    fn with(policy: ServerPolicy) -> Self {
        let peer = Peer { address: IpAddr::V6(Ipv6Addr::LOCALHOST), port: 50_000 };
        let session = ServerSession::new(Rc::new(policy), peer, 1, &CONDITIONS);
        let mut client = Self {
            session,
            header: Vec::with_capacity(1_024),
            content_bytes: 0,
            replies: Vec::with_capacity(4_096),
        };
        client.send(b"EHLO client.example\r\n", true);
        client
    }

    /// Feeds `input` as a shard does. With `at_once`, a message is durable as soon as it is
    /// complete; else only when the session waits for it.
    fn send(&mut self, input: &[u8], at_once: bool) {
        let mut rest = input;
        let mut is_awaited = false;
        loop {
            let step = self.session.advance(&CONDITIONS, rest);
            match step.event {
                Event::NeedInput => break,
                Event::MessageBegin => {
                    self.header.clear();
                    let id = MessageId(7);
                    self.session.write_received_header(id, &CONDITIONS, &mut self.header);
                }
                Event::Content(span) => self.content_bytes += span.of(rest).len(),
                Event::Inserted => self.content_bytes += self.session.inserted().len(),
                Event::MessageEnd => {
                    assert_eq!(self.session.envelope().recipients.len(), 3);
                    is_awaited = !at_once;
                    if at_once {
                        let stored = Stored::Committed(MessageId(7));
                        self.session.handle_stored(&CONDITIONS, stored);
                    }
                }
                Event::MessageAbandoned
                | Event::StartTls
                | Event::CheckPassword
                | Event::PeerChanged
                | Event::Blocked
                | Event::Close => panic!("{:?}", step.event),
            }
            rest = &rest[step.consumed..];
        }
        if is_awaited {
            self.session.handle_stored(&CONDITIONS, Stored::Committed(MessageId(7)));
        }
        self.replies.clear();
        self.session.transmit(&mut self.replies);
    }
}

#[test]
fn a_transaction_in_lock_step_allocates_nothing() {
    let mut client = Client::new();
    let transaction = |client: &mut Client| {
        for piece in ONE_BY_ONE {
            client.send(piece, true);
        }
    };
    transaction(&mut client);
    let info = measure(|| transaction(&mut client));
    assert_eq!(info.count_total, 0, "{info:?}");
    assert!(client.replies.starts_with(b"250 2.0.0 Ok: queued as"));
    assert!(client.header.ends_with(b"Tue, 24 Nov 2026 04:01:33 +0000\r\n"));
    assert!(client.content_bytes > 0);
}

/// The commands of the next message stand behind the content, and are read before its commit.
#[test]
fn a_pipelined_transaction_allocates_nothing() {
    let mut client = Client::new();
    let (content, envelope) = (ONE_BY_ONE[5..].concat(), ONE_BY_ONE[..5].concat());
    let transaction = [content, envelope.clone()].concat();
    client.send(&envelope, true);
    client.send(&transaction, false);
    let info = measure(|| client.send(&transaction, false));
    assert_eq!(info.count_total, 0, "{info:?}");
    let lines = client.replies.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let codes: Vec<&[u8]> = lines.map(|line| &line[..3]).collect();
    assert_eq!(codes, [b"250", b"250", b"250", b"250", b"250", b"354"]);
}

/// Chunks, a field that is taken out where the input ends, fields and line ends that are added.
#[test]
fn a_mended_message_in_chunks_allocates_nothing() {
    let mut policy = ServerPolicy::plain("mx.example.net", ServerLimits::default());
    policy.role = Role::Submission;
    policy.leniency.bare_lf = true;
    policy.header = HeaderPolicy { add_missing: true, remove_own_results: true };
    let mut client = Client::with(policy);
    let content: [&[u8]; 4] = [
        b"BDAT 14\r\nAuthentication",
        b"BDAT 25\r\n-Results: mx.example.net\n",
        b"BDAT 13\r\nSubject: a\n\nb",
        b"BDAT 0 LAST\r\n",
    ];
    let transaction = |client: &mut Client| {
        for piece in ONE_BY_ONE[..4].iter().chain(&content) {
            client.send(piece, true);
        }
    };
    transaction(&mut client);
    client.content_bytes = 0;
    let info = measure(|| transaction(&mut client));
    assert_eq!(info.count_total, 0, "{info:?}");
    assert!(client.replies.starts_with(b"250 2.0.0 Ok: queued as"));
    let stored = "Subject: a\r\nDate: Tue, 24 Nov 2026 04:01:33 +0000\r\n\
        Message-ID: <0000000000000007@mx.example.net>\r\n\r\nb\r\n";
    assert_eq!(client.content_bytes, stored.len());
}
