//! Queries to bytes, and the bytes of a reply to what it says of the question.
//!
//! # Guarantees
//! A reply counts only if it is a response with the id and the question of the query
//! (RFC 5452 §9.1); the name is compared without regard to case. From the answer section only what
//! the chain of aliases leads to is taken. A referral, as a server gives that does not recurse, is
//! a failure and not an answer without records, so that a wrong server in the configuration never
//! makes mail bounce.
//!
//! # Failures
//! Bytes that are no reply to the query are a [`NotAReply`]; nothing panics.
//!
//! # Bounds
//! [`DNS_RECORDS_MAX`] records of an answer are kept, [`DNS_ALIASES_MAX`] aliases followed.

// hickory-proto's enums of record types and codes are open and long.
#![allow(clippy::wildcard_enum_match_arm)]

use std::fmt;
use std::net::IpAddr;

use hickory_proto::op::{Edns, Header, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use crate::limits::{DNS_ABSENCE_TTL_S, DNS_ALIASES_MAX, DNS_RECORDS_MAX, DNS_UDP_PAYLOAD_BYTES};
use crate::route::mx::MxRecord;
use crate::route::table::is_host_name;

/// The kinds of record that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// IPv4 addresses (RFC 1035 §3.4.1).
    A,
    /// IPv6 addresses (RFC 3596 §2.1).
    Aaaa,
    /// Mail exchangers (RFC 1035 §3.3.9).
    Mx,
}

impl RecordKind {
    const fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Mx => RecordType::MX,
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Mx => "MX",
        })
    }
}

/// The records that answer a question. Which variant it is follows from the kind of the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// Of A or AAAA records.
    Addresses(Vec<IpAddr>),
    /// Of MX records, the best preference first.
    Mx(Vec<MxRecord>),
}

/// What a reply says of the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The name is an alias, and the reply does not say what its target has.
    Alias {
        /// In lower case, without a trailing dot.
        target: Box<str>,
        /// Seconds for which it holds.
        ttl_s: u32,
    },
    /// The server does not understand the query, perhaps for its EDNS (RFC 6891 §7).
    NotUnderstood,
    /// The name exists and has no record of this kind.
    NoRecords {
        /// Seconds for which it holds (RFC 2308 §5).
        ttl_s: u32,
    },
    /// The name does not exist.
    NoSuchName {
        /// Seconds for which it holds (RFC 2308 §5).
        ttl_s: u32,
    },
    /// At least one.
    Records {
        /// What answers the question.
        records: Records,
        /// Seconds for which all of it holds.
        ttl_s: u32,
    },
    /// The server has no answer; another may have.
    ServerFailed {
        /// Why, for people.
        why: Box<str>,
    },
    /// The answer did not fit; TCP will bring it (RFC 2181 §9).
    Truncated,
}

/// Why bytes are no reply to the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAReply {
    /// Not a DNS message, or broken off.
    #[error("not a DNS message")]
    Malformed,
    /// A message that does not belong to the query.
    #[error("a reply to something else")]
    Foreign,
}

/// The query for the records of `kind` of `name` (in lower case), with recursion desired; nothing
/// if `name` is no host name. With `edns` it offers [`DNS_UDP_PAYLOAD_BYTES`] (RFC 6891).
pub fn encode_query(id: u16, name: &str, kind: RecordKind, edns: bool) -> Option<Vec<u8>> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name_of(name)?, kind.record_type()));
    if edns {
        let mut edns = Edns::new();
        edns.set_max_payload(DNS_UDP_PAYLOAD_BYTES);
        message.set_edns(edns);
    }
    message.to_vec().ok()
}

/// What `bytes` say of the question for the records of `kind` of `name`, asked with `id`.
///
/// # Errors
/// [`NotAReply`] if they say nothing of it.
pub fn decode_reply(
    bytes: &[u8],
    id: u16,
    name: &str,
    kind: RecordKind,
) -> Result<Reply, NotAReply> {
    let mut decoder = BinDecoder::new(bytes);
    let header = Header::read(&mut decoder).map_err(|_| NotAReply::Malformed)?;
    let is_ours = header.id == id
        && header.message_type == MessageType::Response
        && header.op_code == OpCode::Query;
    if !is_ours {
        return Err(NotAReply::Foreign);
    }
    let name = name_of(name).ok_or(NotAReply::Foreign)?;
    let code = header.response_code;
    let is_misunderstanding = matches!(code, ResponseCode::FormErr | ResponseCode::NotImp);
    match header.counts.queries {
        1 => {
            let query = Query::read(&mut decoder).map_err(|_| NotAReply::Malformed)?;
            let is_same = *query.name() == name
                && query.query_type() == kind.record_type()
                && query.query_class() == DNSClass::IN;
            if !is_same {
                return Err(NotAReply::Foreign);
            }
        }
        // A server that does not understand a query may be unable to repeat it.
        0 if is_misunderstanding => {}
        _ => return Err(NotAReply::Foreign),
    }
    if is_misunderstanding {
        return Ok(Reply::NotUnderstood);
    }
    // What follows may be cut anywhere; it is not looked at.
    if header.truncation {
        return Ok(Reply::Truncated);
    }
    let answers = read_records(&mut decoder, header.counts.answers)?;
    let authorities = read_records(&mut decoder, header.counts.authorities)?;
    // Nothing in the additional section is needed but the upper bits of the code (RFC 6891
    // §6.1.3), so damage there is no harm.
    let additionals = read_records(&mut decoder, header.counts.additionals).unwrap_or_default();
    let high = additionals
        .iter()
        .find(|record| record.record_type() == RecordType::OPT)
        .map_or(0, |record| record.ttl >> 24);
    if high != 0 {
        return Ok(Reply::NotUnderstood);
    }
    match code {
        ResponseCode::NoError | ResponseCode::NXDomain => {
            let does_exist = code == ResponseCode::NoError;
            Ok(interpret(name, kind, does_exist, &answers, &authorities))
        }
        other => Ok(Reply::ServerFailed { why: code_text(other).into() }),
    }
}

fn read_records(decoder: &mut BinDecoder<'_>, count: u16) -> Result<Vec<Record>, NotAReply> {
    (0..count).map(|_| Record::read(decoder).map_err(|_| NotAReply::Malformed)).collect()
}

/// Follows the aliases from `name` through the answer section.
fn interpret(
    name: Name,
    kind: RecordKind,
    does_exist: bool,
    answers: &[Record],
    authorities: &[Record],
) -> Reply {
    let mut current = name;
    let mut chain_ttl_s = u32::MAX;
    for aliases in 0..=DNS_ALIASES_MAX {
        let of_name = || {
            answers
                .iter()
                .filter(|record| record.dns_class == DNSClass::IN && record.name == current)
        };
        let of_kind = || of_name().filter(|record| record.record_type() == kind.record_type());
        if let Some(records) = collect(kind, of_kind().map(|record| &record.data)) {
            let ttl_s = of_kind().map(ttl_of).min().unwrap_or(0).min(chain_ttl_s);
            return Reply::Records { records, ttl_s };
        }
        let alias = of_name().find_map(|record| match &record.data {
            RData::CNAME(target) => Some((target.0.clone(), ttl_of(record))),
            _ => None,
        });
        let Some((target, ttl_s)) = alias else {
            let soa_ttl_s = negative_ttl_s(authorities);
            let ttl_s = soa_ttl_s.unwrap_or(DNS_ABSENCE_TTL_S).min(chain_ttl_s);
            return match soa_ttl_s {
                _ if !does_exist => Reply::NoSuchName { ttl_s },
                Some(_) => Reply::NoRecords { ttl_s },
                None if aliases > 0 => {
                    Reply::Alias { target: text_of(&current), ttl_s: chain_ttl_s }
                }
                None if is_referral(authorities) => {
                    Reply::ServerFailed { why: "the server does not recurse".into() }
                }
                None => Reply::NoRecords { ttl_s },
            };
        };
        chain_ttl_s = chain_ttl_s.min(ttl_s);
        current = target;
    }
    Reply::ServerFailed { why: "a chain of aliases without end".into() }
}

/// The records of the kind among `data`, nothing if there are none.
fn collect<'a>(kind: RecordKind, data: impl Iterator<Item = &'a RData>) -> Option<Records> {
    if kind == RecordKind::Mx {
        let mut records: Vec<MxRecord> = data
            .filter_map(|data| match data {
                RData::MX(mx) => {
                    Some(MxRecord { preference: mx.preference, exchange: text_of(&mx.exchange) })
                }
                _ => None,
            })
            .collect();
        records.sort_unstable();
        records.dedup();
        records.truncate(DNS_RECORDS_MAX);
        return (!records.is_empty()).then_some(Records::Mx(records));
    }
    let mut addresses: Vec<IpAddr> = data
        .filter_map(|data| match data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
            _ => None,
        })
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(DNS_RECORDS_MAX);
    (!addresses.is_empty()).then_some(Records::Addresses(addresses))
}

/// How long the absence of something holds: RFC 2308 §5.
fn negative_ttl_s(authorities: &[Record]) -> Option<u32> {
    authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(ttl_of(record).min(soa.minimum)),
        _ => None,
    })
}

/// RFC 2308 §2.2: NS records without a SOA record point elsewhere.
fn is_referral(authorities: &[Record]) -> bool {
    authorities.iter().any(|record| record.record_type() == RecordType::NS)
}

/// RFC 2181 §8: a TTL with the top bit set counts as zero.
fn ttl_of(record: &Record) -> u32 {
    i32::try_from(record.ttl).map_or(0, i32::cast_unsigned)
}

fn name_of(text: &str) -> Option<Name> {
    if !is_host_name(text) {
        return None;
    }
    Name::from_labels(text.split('.').map(str::as_bytes)).ok()
}

/// In lower case, without a trailing dot; the root is empty. What no host name contains comes
/// escaped, so that it is none.
fn text_of(name: &Name) -> Box<str> {
    let mut text = name.to_ascii();
    text.make_ascii_lowercase();
    if text.ends_with('.') {
        text.pop();
    }
    text.into()
}

fn code_text(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::Refused => "REFUSED",
        _ => "an error of the DNS server",
    }
}
