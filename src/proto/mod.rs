//! SMTP as pure state machines: bytes, time and decisions go in, replies and events come out.
//!
//! # Never
//! Nothing in here reads a clock, opens a socket, touches a file or draws a random number, and
//! nothing knows the spool, the queue or the configuration.
//!
//! # RFCs
//! All that the program cites; `RFCS.md` has those about SMTP by section. A module without a path
//! is one of these here.
//!
//! | RFC | what | where | done |
//! | --- | --- | --- | --- |
//! | 821 | 552 for too many recipients, as 452 is now | `client` | yes |
//! | 1034 | chains of aliases (§3.6.2) | `io::dns` | partly: a stub resolver |
//! | 1035 | domain names (§2.3) | `path`, `route` | yes |
//! | 1035 | DNS messages (§4) | `io::dns` | partly: queries for A, AAAA and MX |
//! | 1047 | a long wait for the answer to the end of data | `client` | yes |
//! | 1123 | host names that are no addresses (§2.1) | `route` | yes |
//! | 1870 | SIZE | `parameters`, `data`, `server`, `client` | yes |
//! | 1985 | ETRN | `command` (answered with 502) | no |
//! | 2034 | ENHANCEDSTATUSCODES | `enhanced`, `fault`, `reply_parse` | yes |
//! | 2045 | 7bit (§2.7), quoted-printable (§6.7) | `dsn` | partly: written, not read |
//! | 2046 | multipart (§5.1) | `dsn` | partly: written, not read |
//! | 2104 | HMAC | `credentials` | yes |
//! | 2181 | TTL (§8), truncation (§9) | `io::dns` | yes |
//! | 2308 | caching of what does not exist | `io::dns` | partly: kept for 5 s without SOA |
//! | 2852 | DELIVERBY | `parameters`, `server`, `queue` (deadlines), `client` (§4.1.4) | yes |
//! | 2920 | PIPELINING | `server`, `client` | yes |
//! | 3030 | CHUNKING, BINARYMIME | `command`, `parameters`, `data`, `server`, `client` | yes |
//! | 3207 | STARTTLS | `command`, `server` | partly: not towards next hops |
//! | 3339 | dates for programs | `clock`, `log`, `admin` | yes |
//! | 3454 | stringprep | `credentials` | partly: queries like stored strings (§7) |
//! | 3461 | DSN parameters of MAIL and RCPT | `parameters`, `server`, `client` (§5.2.1) | yes |
//! | 3461 | who is told what (§4, §5.2) | `queue::notice`, `dsn` | yes |
//! | 3463 | enhanced status codes | `enhanced` | yes |
//! | 3464 | delivery status notifications | `dsn` | partly: not all optional fields |
//! | 3596 | AAAA | `io::dns` | yes |
//! | 3834 | marks of automatic mail (§3.1.5, §5) | `dsn` | yes |
//! | 3848 | protocols in `Received:` | `server` | yes; not those of LMTP |
//! | 4013 | SASLprep of names and passwords | `credentials` | partly: as 3454 |
//! | 4291 | a link's network of IPv6 addresses (§2.5.4) | `throttle` | yes |
//! | 4422 | SASL: names of mechanisms (§3.1) and exchanges | `command`, `sasl` | yes |
//! | 4616 | PLAIN | `sasl` | yes; nobody acts for somebody else |
//! | 4865 | FUTURERELEASE | `parameters`, `server`, `queue` (holds) | yes |
//! | 4954 | AUTH | `command`, `parameters`, `server` | partly: not towards next hops |
//! | 5077 | tickets of TLS 1.2 | `io::tls` | yes |
//! | 5246 | TLS 1.2 | `io::tls` | yes; by rustls, without renegotiation |
//! | 5248 | registry of enhanced status codes | `enhanced` | yes |
//! | 5280 | certificates: hash of the signature (§4.1) | `io::tls` | partly; the rest by rustls |
//! | 5321 | SMTP | all | yes, but what mailboxes need; sections in `RFCS.md` |
//! | 5322 | message format | `data` (header end), `path` (`atext`), `clock`, `dsn` | partly |
//! | 5452 | forged DNS replies | `io::dns` | yes |
//! | 5802 | SCRAM | `sasl`, `credentials` | partly: no `e=` (§5.1), no `tls-unique` (§6) |
//! | 5803 | how a SCRAM password is stored | `credentials` | yes |
//! | 5890 | internationalised domain names | `idn`, `route` | yes |
//! | 5929 | `tls-server-end-point` (§4) | `sasl`, `io::tls` | yes; not `tls-unique` |
//! | 6152 | 8BITMIME | `parameters`, `server`, `client` | partly: nothing is converted |
//! | 6409 | submission: senders (§6.1), fields added (§8.2, §8.3) | `server`, `data` | partly |
//! | 6522 | multipart/report | `dsn` | yes |
//! | 6531 | SMTPUTF8 | `path`, `idn`, `parameters`, `server`, `client`, `route` | yes |
//! | 6532 | messages in UTF-8 (§3.7: `message/global`) | `dsn` | partly: written, not read |
//! | 6533 | notices with UTF-8 addresses (§3, §4, §6) | `parameters`, `dsn`, `client` | yes |
//! | 6647 | greylisting, as a client (§2.2) | `config` (first retry) | partly: none of its own |
//! | 6710 | MT-PRIORITY | `parameters`, `server`, `queue`, `client` | partly: not in `Received:` |
//! | 6761 | `localhost` (§6.3) | `io::dns` | partly: no other special name |
//! | 6891 | EDNS: size of datagrams, upper bits of the code | `io::dns` | yes |
//! | 7504 | 521 and 556 | `queue::outcome` (as any 5yz) | no |
//! | 7505 | null MX | `route` | yes |
//! | 7677 | SCRAM-SHA-256 and -PLUS | `sasl`, `credentials` | partly: as 5802 |
//! | 7766 | DNS over TCP | `io::dns` | partly: a connection for each query |
//! | 8314 | TLS in `Received:` (§4.3) | `server` | partly: without the group |
//! | 8314 | TLS from the first byte on (§3.3), with port 465 | `config`, `server` | yes |
//! | 8446 | TLS 1.3 | `io::tls` | yes; by rustls, without early data |
//! | 8601 | Authentication-Results: own ones of others (§5) | `data` | partly: none written |
//! | 8689 | REQUIRETLS | `server`, `client`, `shard::reports` | partly: §3 no, §4.2 and §5 partly |
//! | 9266 | channel binding `tls-exporter` | `sasl`, `io::tls` | yes |
//! | 9422 | LIMITS | `server` | partly: those of next hops are not read |
//! | 9525 | names in certificates: wildcards (§6.3) | `io::tls` | partly: for the choice by SNI |

#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods)]

pub mod client;
pub mod command;
pub mod data;
pub mod enhanced;
pub mod ext;
pub mod fault;
pub mod idn;
pub mod line;
pub mod parameters;
pub mod path;
pub mod proxy;
pub mod reply;
pub mod reply_parse;
pub mod sasl;
pub mod server;
pub mod transmit;
