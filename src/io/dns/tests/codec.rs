//! The codec beside hickory's own reading, and against bytes of every kind.

use hickory_proto::op::{Edns, OpCode, Query};
use hickory_proto::rr::DNSClass;
use proptest::prelude::*;

use super::*;
use crate::io::dns::codec::*;
use crate::route::mx::MxRecord;

const ID: u16 = 0x1234;

fn response(owner: &str, kind: RecordType) -> Message {
    let mut message = Message::response(ID, OpCode::Query);
    message.add_query(Query::query(name(owner), kind));
    message
}

fn decode(message: &Message, owner: &str, kind: RecordKind) -> Result<Reply, NotAReply> {
    decode_reply(&message.to_vec().unwrap(), ID, owner, kind)
}

#[test]
fn a_query_is_what_hickory_reads() {
    for (kind, expected) in [
        (RecordKind::A, RecordType::A),
        (RecordKind::Aaaa, RecordType::AAAA),
        (RecordKind::Mx, RecordType::MX),
    ] {
        for edns in [false, true] {
            let bytes = encode_query(ID, "mail.example.test", kind, edns).unwrap();
            let message = Message::from_vec(&bytes).unwrap();
            assert_eq!(message.metadata.id, ID);
            assert!(message.metadata.recursion_desired);
            assert_eq!(message.queries, [Query::query(name("mail.example.test"), expected)]);
            assert_eq!(message.edns.map(|edns| edns.max_payload()), edns.then_some(1_232));
        }
    }
    for bad in ["", ".", "a..b", "a b", "[1.2.3.4]", &"x".repeat(64), &["ab"; 100].join(".")] {
        assert_eq!(encode_query(ID, bad, RecordKind::A, true), None, "{bad}");
    }
}

#[test]
fn records_come_sorted_and_without_repetition() {
    let mut message = response("d.test", RecordType::MX);
    for (preference, exchange) in [(20, "b.test"), (10, "A.test"), (20, "b.test")] {
        let data = RData::MX(MX::new(preference, name(exchange)));
        message.add_answer(record("D.TEST", u32::from(preference), data));
    }
    // Of no interest: another owner, another type, another class.
    message.add_answer(record("x.test", 1, RData::MX(MX::new(1, name("x.test")))));
    message.add_answer(record("d.test", 1, RData::A(A("192.0.2.1".parse().unwrap()))));
    let mut chaos = record("d.test", 1, RData::MX(MX::new(1, name("x.test"))));
    chaos.dns_class = DNSClass::CH;
    message.add_answer(chaos);
    let expected = [(10, "a.test"), (20, "b.test")]
        .map(|(preference, exchange)| MxRecord { preference, exchange: exchange.into() });
    let records = Records::Mx(expected.to_vec());
    assert_eq!(
        decode(&message, "d.test", RecordKind::Mx),
        Ok(Reply::Records { records, ttl_s: 10 })
    );
}

#[test]
fn only_a_reply_to_the_query_counts() {
    let mut good = response("d.test", RecordType::A);
    good.add_answer(record("d.test", 60, RData::A(A("192.0.2.1".parse().unwrap()))));
    assert!(decode(&good, "d.test", RecordKind::A).is_ok());
    assert!(decode(&good, "D.test", RecordKind::A).is_ok());
    let foreign = Err(NotAReply::Foreign);
    assert_eq!(decode(&good, "e.test", RecordKind::A), foreign);
    assert_eq!(decode(&good, "d.test", RecordKind::Aaaa), foreign);
    assert_eq!(decode_reply(&good.to_vec().unwrap(), ID + 1, "d.test", RecordKind::A), foreign);
    let mut query = good.clone();
    query.metadata.message_type = MessageType::Query;
    assert_eq!(decode(&query, "d.test", RecordKind::A), foreign);
    let mut notify = good.clone();
    notify.metadata.op_code = OpCode::Notify;
    assert_eq!(decode(&notify, "d.test", RecordKind::A), foreign);
    let mut without = good.clone();
    without.queries.clear();
    assert_eq!(decode(&without, "d.test", RecordKind::A), foreign);
    let mut twice = good.clone();
    twice.add_query(Query::query(name("d.test"), RecordType::A));
    assert_eq!(decode(&twice, "d.test", RecordKind::A), foreign);
    let mut chaos = good;
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(decode(&chaos, "d.test", RecordKind::A), foreign);
}

#[test]
fn a_truncated_reply_may_be_cut_anywhere() {
    let mut message = response("d.test", RecordType::A);
    message.add_answer(record("d.test", 60, RData::A(A("192.0.2.1".parse().unwrap()))));
    message.metadata.truncation = true;
    let bytes = message.to_vec().unwrap();
    let question_end = 12 + 8 + 4;
    for end in question_end..=bytes.len() {
        let reply = decode_reply(&bytes[..end], ID, "d.test", RecordKind::A);
        assert_eq!(reply, Ok(Reply::Truncated));
    }
    for end in 0..question_end {
        let reply = decode_reply(&bytes[..end], ID, "d.test", RecordKind::A);
        assert_eq!(reply, Err(NotAReply::Malformed));
    }
}

#[test]
fn a_code_in_the_edns_record_counts() {
    let mut message = response("d.test", RecordType::MX);
    message.set_edns(Edns::new());
    assert_eq!(decode(&message, "d.test", RecordKind::Mx), Ok(Reply::NoRecords { ttl_s: 5 }));
    message.metadata.response_code = ResponseCode::BADVERS;
    assert_eq!(decode(&message, "d.test", RecordKind::Mx), Ok(Reply::NotUnderstood));
}

#[test]
fn the_time_of_a_chain_is_its_shortest() {
    let mut message = response("a.test", RecordType::A);
    message.add_answer(record("a.test", 50, RData::CNAME(CNAME(name("b.test")))));
    message.add_answer(record("b.test", 40, RData::CNAME(CNAME(name("c.test")))));
    let alias = Reply::Alias { target: "c.test".into(), ttl_s: 40 };
    assert_eq!(decode(&message, "a.test", RecordKind::A), Ok(alias));
    message.add_answer(record("c.test", 70, RData::A(A("192.0.2.1".parse().unwrap()))));
    let records = Records::Addresses(vec!["192.0.2.1".parse().unwrap()]);
    let found = Reply::Records { records, ttl_s: 40 };
    assert_eq!(decode(&message, "a.test", RecordKind::A), Ok(found));
}

#[test]
fn a_time_with_the_top_bit_is_none() {
    let mut message = response("d.test", RecordType::A);
    message.add_answer(record("d.test", 1 << 31, RData::A(A("192.0.2.1".parse().unwrap()))));
    let reply = decode(&message, "d.test", RecordKind::A).unwrap();
    assert!(matches!(reply, Reply::Records { ttl_s: 0, .. }), "{reply:?}");
}

#[test]
fn the_longest_chain_ends_and_a_longer_one_fails() {
    let chain = |length: usize| {
        let mut message = response("n0.test", RecordType::A);
        for n in 0..length {
            let target = CNAME(name(&format!("n{}.test", n + 1)));
            message.add_answer(record(&format!("n{n}.test"), 9, RData::CNAME(target)));
        }
        let address = RData::A(A("192.0.2.1".parse().unwrap()));
        message.add_answer(record(&format!("n{length}.test"), 9, address));
        decode(&message, "n0.test", RecordKind::A).unwrap()
    };
    assert!(matches!(chain(crate::limits::DNS_ALIASES_MAX), Reply::Records { .. }));
    assert!(matches!(chain(crate::limits::DNS_ALIASES_MAX + 1), Reply::ServerFailed { .. }));
}

/// A reply that says something, to be damaged.
fn rich_reply() -> Vec<u8> {
    let mut message = response("a.test", RecordType::MX);
    message.add_answer(record("a.test", 50, RData::CNAME(CNAME(name("b.test")))));
    message.add_answer(record("b.test", 50, RData::MX(MX::new(5, name("mx.b.test")))));
    message.add_answer(record("b.test", 50, RData::MX(MX::new(0, Name::root()))));
    let soa = SOA::new(name("ns.test"), name("host.test"), 1, 2, 3, 4, 5);
    message.add_authority(record("test", 900, RData::SOA(soa)));
    message.add_additional(record("mx.b.test", 9, RData::A(A("192.0.2.1".parse().unwrap()))));
    message.set_edns(Edns::new());
    message.to_vec().unwrap()
}

proptest! {
    #[test]
    fn what_hickory_writes_is_read_back(
        addresses in prop::collection::btree_set(any::<[u8; 4]>(), 1..50),
        ttl_s in 0_u32..=i32::MAX.cast_unsigned(),
        labels in prop::collection::vec("[a-z0-9_-]{1,20}", 1..6),
    ) {
        let owner = labels.join(".");
        let mut message = response(&owner, RecordType::A);
        for octets in &addresses {
            let data = RData::A(A(std::net::Ipv4Addr::from(*octets)));
            message.add_answer(record(&owner, ttl_s, data));
        }
        let expected = addresses.iter().map(|&octets| octets.into()).collect();
        let records = Records::Addresses(expected);
        let reply = decode(&message, &owner, RecordKind::A);
        prop_assert_eq!(reply, Ok(Reply::Records { records, ttl_s }));
    }

    #[test]
    fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut bytes = bytes;
        let _ = decode_reply(&bytes, ID, "a.test", RecordKind::Mx);
        // The same behind a header and a question that pass.
        let mut whole = rich_reply();
        whole.truncate(12 + 8 + 4);
        whole.append(&mut bytes);
        let _ = decode_reply(&whole, ID, "a.test", RecordKind::Mx);
    }

    #[test]
    fn no_damage_is_a_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        end in any::<prop::sample::Index>(),
        cut: bool,
    ) {
        let mut bytes = rich_reply();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if cut {
            bytes.truncate(end.index(bytes.len() + 1));
        }
        let _ = decode_reply(&bytes, ID, "a.test", RecordKind::Mx);
    }
}
