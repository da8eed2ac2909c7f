//! What can go wrong on the server side, by whose fault it is, and the one place that turns it into
//! the reply on the wire: [`Fault::reply`].
//!
//! The texts say what is wrong and what to do about it. None repeats what the peer sent.

use crate::proto::enhanced::EnhancedCode;
use crate::proto::line::LineFault;
use crate::proto::parameters::ValueFault;
use crate::proto::path::PathFault;
use crate::proto::reply::{Code, Reply};
use crate::throttle::Over;

pub use self::authentication::AuthFault;

mod authentication;

/// Why a command or a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The peer's line is not one that may be parsed.
    Line(LineFault),
    /// The peer's command is not understood.
    Syntax(SyntaxFault),
    /// The peer's reverse-path is malformed.
    Sender(PathFault),
    /// The peer's forward-path is malformed.
    Recipient(PathFault),
    /// The peer's command comes at the wrong time.
    Sequence(SequenceFault),
    /// The peer asks for what it is not allowed.
    Policy(PolicyFault),
    /// The peer used up a bound of the session.
    Bound(BoundFault),
    /// The peer did not prove who it is.
    Auth(AuthFault),
    /// The peer's message cannot be taken as it is.
    Content(ContentFault),
    /// The fault is ours.
    Local(LocalFault),
}

/// See [`Fault::Syntax`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyntaxFault {
    /// NUL or another control character in the line.
    ControlCharacter,
    /// No command of SMTP.
    UnknownCommand,
    /// A command of SMTP or of an extension that is not offered.
    NotImplemented,
    /// EHLO or HELO without one word of printable characters.
    HelloArgument,
    /// MAIL without `FROM:`.
    MailArgument,
    /// RCPT without `TO:`.
    RcptArgument,
    /// VRFY without an argument.
    VrfyArgument,
    /// DATA, RSET, QUIT or STARTTLS with an argument.
    UnexpectedArgument,
    /// AUTH without the name of a mechanism, or with more than an initial response behind it.
    AuthArgument,
    /// BDAT without a number of bytes, or with anything but `LAST` behind it.
    BdatArgument,
    /// BDAT with a number of bytes beyond 64 bits.
    BdatSizeTooLarge,
    /// XCLIENT without attributes.
    XclientArgument,
    /// A parameter that is not `keyword` or `keyword=value`, or that is given twice.
    ParameterMalformed,
    /// A parameter of no extension that is offered.
    ParameterUnknown,
    /// A parameter with a value that it cannot have.
    Value(ValueFault),
}

/// See [`Fault::Sequence`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceFault {
    /// MAIL before EHLO or HELO.
    HelloMissing,
    /// A command that needs TLS before STARTTLS, where that is required.
    TlsMissing,
    /// MAIL before AUTH, where that is required.
    AuthMissing,
    /// MAIL within a transaction.
    TransactionRunning,
    /// RCPT or DATA before MAIL.
    MailMissing,
    /// DATA before RCPT.
    RcptMissing,
    /// DATA after RCPT commands of which every one was refused.
    NoValidRecipient,
    /// DATA or RCPT after BDAT.
    ChunksBegun,
    /// DATA for content that was declared with `BODY=BINARYMIME`.
    ChunksMissing,
    /// AUTH before EHLO.
    EhloMissing,
    /// STARTTLS over TLS.
    TlsDone,
    /// STARTTLS after XCLIENT: who speaks over the connection has said already for whom.
    TlsTooLate,
    /// AUTH by a client that is authenticated.
    AuthDone,
    /// AUTH or XCLIENT between MAIL and the end of the transaction.
    WithinTransaction,
    /// Any command but QUIT of a client that was refused in the greeting.
    Denied,
}

/// See [`Fault::Policy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyFault {
    /// The peer may not relay, and the domain is none that mail is taken for.
    RelayDenied,
    /// The peer may not relay, and the local part asks the next host to do it.
    RoutedLocalPart,
    /// The user may not send from this address.
    SenderDenied,
    /// The declared size is larger than what is taken.
    DeclaredTooBig,
    /// The listener is not for the peer.
    AccessDenied,
    /// The peer may not speak for others.
    XclientDenied,
}

/// See [`Fault::Bound`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundFault {
    /// More recipients than one transaction may have.
    Recipients,
    /// More errors than one session may make.
    Errors,
    /// More messages than one session may bring.
    Messages,
    /// The peer kept the session waiting for too long.
    Time,
    /// More of something in a minute, or at a time, than there may be.
    Throttle(Over),
    /// As many connections as the listener may have.
    ListenerConnections,
    /// As many connections as the process may have.
    ProcessConnections,
}

/// See [`Fault::Content`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentFault {
    /// A CR without LF or an LF without CR.
    BareCrOrLf,
    /// Larger than what is taken.
    TooBig,
    /// A line longer than what is taken.
    LineTooLong,
    /// A header longer than what is taken, or none of which an end is seen.
    HeaderTooBig,
    /// More fields in the header than what is taken.
    TooManyFields,
    /// Too many `Received:` fields.
    TooManyHops,
}

/// See [`Fault::Local`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalFault {
    /// The spool has no room.
    StorageFull,
    /// The spool could not store the message.
    StorageFailed,
    /// The process has used up its memory.
    MemoryShort,
    /// The server is about to stop.
    Draining,
}

impl Fault {
    /// Whether it counts towards the errors that a session may make. What is no sign of a broken
    /// or hostile client does not: a message that it only passes on, or a bound that a client
    /// meets by asking.
    pub const fn counts_as_error(self) -> bool {
        match self {
            Self::Line(_)
            | Self::Syntax(_)
            | Self::Sender(_)
            | Self::Recipient(_)
            | Self::Sequence(_)
            | Self::Policy(_) => true,
            Self::Auth(fault) => !matches!(fault, AuthFault::Busy),
            Self::Bound(_) | Self::Content(_) | Self::Local(_) => false,
        }
    }

    /// Whether it cannot be known where the next command of the peer begins, so that the session
    /// has to end: the size of a chunk was not understood.
    pub const fn loses_step(self) -> bool {
        matches!(self, Self::Syntax(SyntaxFault::BdatArgument | SyntaxFault::BdatSizeTooLarge))
    }

    /// The reply that the peer reads.
    pub const fn reply(self) -> Reply {
        match self {
            Self::Line(fault) => line_reply(fault),
            Self::Syntax(fault) => syntax_reply(fault),
            // RFC 6531 §3.5: 550 where MAIL needs an ASCII address, 553 where RCPT does.
            Self::Sender(fault @ PathFault::NonAscii) => {
                Reply::new(Code::REFUSED_550, EnhancedCode::NON_ASCII_5_6_7, fault.text())
            }
            Self::Recipient(fault @ PathFault::NonAscii) => {
                Reply::new(Code::MAILBOX_553, EnhancedCode::NON_ASCII_5_6_7, fault.text())
            }
            Self::Sender(fault) => {
                Reply::new(Code::SYNTAX_501, EnhancedCode::SENDER_SYNTAX_5_1_7, fault.text())
            }
            Self::Recipient(fault) => {
                Reply::new(Code::SYNTAX_501, EnhancedCode::RECIPIENT_SYNTAX_5_1_3, fault.text())
            }
            Self::Sequence(fault) => sequence_reply(fault),
            Self::Policy(fault) => policy_reply(fault),
            Self::Bound(fault) => bound_reply(fault),
            Self::Auth(fault) => fault.reply(),
            Self::Content(fault) => content_reply(fault),
            Self::Local(fault) => local_reply(fault),
        }
    }
}

const fn line_reply(fault: LineFault) -> Reply {
    // RFC 5321 §4.5.3.1.9 for the length, §2.3.8 for the line end.
    let text = match fault {
        LineFault::TooLong => "Line too long: a command has at most 2048 bytes",
        LineFault::BareLf => "Bare LF: this line was ignored, end every line with CRLF",
    };
    Reply::new(Code::UNRECOGNISED_500, EnhancedCode::SYNTAX_5_5_2, text)
}

const fn syntax_reply(fault: SyntaxFault) -> Reply {
    match fault {
        SyntaxFault::ControlCharacter => Reply::new(
            Code::UNRECOGNISED_500,
            EnhancedCode::SYNTAX_5_5_2,
            "Control character in the command: send printable characters and CRLF only",
        ),
        SyntaxFault::UnknownCommand => Reply::new(
            Code::UNRECOGNISED_500,
            EnhancedCode::SYNTAX_5_5_2,
            "Unknown command: HELP lists the known ones",
        ),
        SyntaxFault::NotImplemented => Reply::new(
            Code::NOT_IMPLEMENTED_502,
            EnhancedCode::INVALID_COMMAND_5_5_1,
            "Command not implemented here: EHLO lists what is offered",
        ),
        SyntaxFault::HelloArgument => arguments_reply("Send EHLO and your host name"),
        SyntaxFault::MailArgument => arguments_reply("Send MAIL FROM:<address>"),
        SyntaxFault::RcptArgument => arguments_reply("Send RCPT TO:<address>"),
        SyntaxFault::VrfyArgument => arguments_reply("Send VRFY and an address"),
        SyntaxFault::UnexpectedArgument => arguments_reply("Send this command without argument"),
        SyntaxFault::AuthArgument => {
            arguments_reply("Send AUTH, a mechanism and at most an initial response")
        }
        SyntaxFault::BdatArgument => {
            arguments_reply("Send BDAT, a number of bytes and, with the last chunk, LAST")
        }
        SyntaxFault::BdatSizeTooLarge => {
            arguments_reply("Chunk too large: no number of bytes has more than 64 bits")
        }
        SyntaxFault::XclientArgument => arguments_reply("Send XCLIENT and NAME=VALUE attributes"),
        SyntaxFault::ParameterMalformed => {
            arguments_reply("Send each parameter once, as KEYWORD or KEYWORD=VALUE")
        }
        SyntaxFault::Value(fault) => arguments_reply(fault.text()),
        // RFC 5321 §4.1.1.11.
        SyntaxFault::ParameterUnknown => Reply::new(
            Code::PARAMETER_555,
            EnhancedCode::ARGUMENTS_5_5_4,
            "Parameter not known here: EHLO lists what is offered",
        ),
    }
}

const fn arguments_reply(text: &'static str) -> Reply {
    Reply::new(Code::SYNTAX_501, EnhancedCode::ARGUMENTS_5_5_4, text)
}

const fn sequence_reply(fault: SequenceFault) -> Reply {
    let text = match fault {
        SequenceFault::EhloMissing => "Send EHLO first",
        SequenceFault::TlsDone => "TLS already active: go on with EHLO",
        SequenceFault::TlsTooLate => "Send STARTTLS before XCLIENT",
        SequenceFault::AuthDone => "Already authenticated: connect again to change the user",
        SequenceFault::WithinTransaction => "Transaction running: send RSET first",
        SequenceFault::Denied => "Connection refused: send QUIT",
        SequenceFault::HelloMissing => "Send EHLO or HELO first",
        SequenceFault::TlsMissing => {
            return needed_reply("Encryption required: send STARTTLS first");
        }
        SequenceFault::AuthMissing => {
            return needed_reply("Authentication required: send AUTH first");
        }
        SequenceFault::TransactionRunning => "Sender already given: send RSET to begin anew",
        SequenceFault::MailMissing => "Send MAIL first",
        SequenceFault::RcptMissing => "Send RCPT first",
        SequenceFault::ChunksBegun => "Content has begun: go on with BDAT, or send RSET",
        SequenceFault::ChunksMissing => "Send content declared as BINARYMIME with BDAT",
        // RFC 5321 §3.3 has a code of its own for this one.
        SequenceFault::NoValidRecipient => {
            return Reply::new(
                Code::FAILED_554,
                EnhancedCode::INVALID_COMMAND_5_5_1,
                "No valid recipients: every RCPT was refused",
            );
        }
    };
    Reply::new(Code::SEQUENCE_503, EnhancedCode::INVALID_COMMAND_5_5_1, text)
}

/// RFC 3207 §4, RFC 4954 §6.
const fn needed_reply(text: &'static str) -> Reply {
    Reply::new(Code::NEEDED_530, EnhancedCode::POLICY_5_7_0, text)
}

const fn policy_reply(fault: PolicyFault) -> Reply {
    match fault {
        PolicyFault::RelayDenied => Reply::new(
            Code::REFUSED_550,
            EnhancedCode::NOT_AUTHORISED_5_7_1,
            "Relaying denied: authenticate, or send from an address that may relay",
        ),
        PolicyFault::RoutedLocalPart => Reply::new(
            Code::REFUSED_550,
            EnhancedCode::NOT_AUTHORISED_5_7_1,
            "Relaying denied: the part before the @ holds a further address",
        ),
        PolicyFault::SenderDenied => Reply::new(
            Code::REFUSED_550,
            EnhancedCode::NOT_AUTHORISED_5_7_1,
            "Sender denied: your user may not send from this address",
        ),
        PolicyFault::DeclaredTooBig => content_reply(ContentFault::TooBig),
        // RFC 5321 §3.1.
        PolicyFault::AccessDenied => Reply::new(
            Code::FAILED_554,
            EnhancedCode::NOT_AUTHORISED_5_7_1,
            "Access denied: your address may not connect here",
        ),
        PolicyFault::XclientDenied => Reply::new(
            Code::REFUSED_550,
            EnhancedCode::NOT_AUTHORISED_5_7_1,
            "XCLIENT denied: your address may not speak for others",
        ),
    }
}

const fn bound_reply(fault: BoundFault) -> Reply {
    match fault {
        // RFC 5321 §4.5.3.1.10: the client sends the rest in another transaction.
        BoundFault::Recipients => Reply::new(
            Code::INSUFFICIENT_452,
            EnhancedCode::TOO_MANY_RECIPIENTS_4_5_3,
            "Too many recipients: send the rest in another transaction",
        ),
        BoundFault::Errors => Reply::new(
            Code::UNAVAILABLE_421,
            EnhancedCode::POLICY_4_7_0,
            "Too many errors in this session: closing",
        ),
        BoundFault::Messages => Reply::new(
            Code::UNAVAILABLE_421,
            EnhancedCode::POLICY_4_7_0,
            "Too many messages in this session: connect again",
        ),
        BoundFault::Time => Reply::new(
            Code::UNAVAILABLE_421,
            EnhancedCode::BAD_CONNECTION_4_4_2,
            "Session took too long: closing, connect again",
        ),
        BoundFault::Throttle(over) => throttle_reply(over),
        BoundFault::ListenerConnections => Reply::new(
            Code::UNAVAILABLE_421,
            EnhancedCode::NOT_ACCEPTING_4_3_2,
            "Too many connections to this port: try again later",
        ),
        BoundFault::ProcessConnections => Reply::new(
            Code::UNAVAILABLE_421,
            EnhancedCode::NOT_ACCEPTING_4_3_2,
            "Too many connections to this server: try again later",
        ),
    }
}

/// Connections are told so in their greeting, the rest in answer to MAIL and RCPT.
const fn throttle_reply(over: Over) -> Reply {
    let (code, text) = match over {
        Over::ConnectionsOfAddress => {
            (Code::UNAVAILABLE_421, "Too many connections from your address: close some first")
        }
        Over::ConnectionsOfNetwork => {
            (Code::UNAVAILABLE_421, "Too many connections from your network: close some first")
        }
        Over::MessagesOfAddress => {
            (Code::BUSY_450, "Too many messages from your address in a minute: try again later")
        }
        Over::MessagesOfUser => {
            (Code::BUSY_450, "Too many messages from your user in a minute: try again later")
        }
        Over::RecipientsOfAddress => {
            (Code::INSUFFICIENT_452, "Too many recipients from your address in a minute: try later")
        }
        Over::RecipientsOfUser => {
            (Code::INSUFFICIENT_452, "Too many recipients from your user in a minute: try later")
        }
    };
    Reply::new(code, EnhancedCode::POLICY_4_7_0, text)
}

const fn content_reply(fault: ContentFault) -> Reply {
    match fault {
        ContentFault::BareCrOrLf => Reply::new(
            Code::FAILED_554,
            EnhancedCode::CONTENT_5_6_0,
            "Message holds a bare CR or LF: end every line with CRLF",
        ),
        ContentFault::TooBig => Reply::new(
            Code::TOO_BIG_552,
            EnhancedCode::TOO_BIG_5_3_4,
            "Message too big: EHLO tells the largest size",
        ),
        ContentFault::LineTooLong => Reply::new(
            Code::FAILED_554,
            EnhancedCode::CONTENT_5_6_0,
            "Message holds a line that is too long: encode it or break it",
        ),
        ContentFault::HeaderTooBig => Reply::new(
            Code::TOO_BIG_552,
            EnhancedCode::TOO_BIG_5_3_4,
            "Header too big: shorten it, an empty line ends it",
        ),
        ContentFault::TooManyFields => Reply::new(
            Code::TOO_BIG_552,
            EnhancedCode::TOO_BIG_5_3_4,
            "Header has too many fields: send fewer, an empty line ends it",
        ),
        ContentFault::TooManyHops => Reply::new(
            Code::FAILED_554,
            EnhancedCode::LOOP_5_4_6,
            "Too many Received fields: the message runs in a loop",
        ),
    }
}

const fn local_reply(fault: LocalFault) -> Reply {
    match fault {
        LocalFault::StorageFull => Reply::new(
            Code::INSUFFICIENT_452,
            EnhancedCode::SYSTEM_FULL_4_3_1,
            "Out of storage: try again later",
        ),
        LocalFault::StorageFailed => Reply::new(
            Code::LOCAL_ERROR_451,
            EnhancedCode::SYSTEM_4_3_0,
            "Message could not be stored: try again later",
        ),
        LocalFault::MemoryShort => Reply::new(
            Code::INSUFFICIENT_452,
            EnhancedCode::NOT_ACCEPTING_4_3_2,
            "Out of memory: try again later",
        ),
        LocalFault::Draining => Reply::new(
            Code::UNAVAILABLE_421,
            EnhancedCode::NOT_ACCEPTING_4_3_2,
            "Server is stopping: connect again",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{
        AUTH_LINE_BYTES_MAX, COMMAND_LINE_BYTES_MAX, DOMAIN_BYTES_MAX, LABEL_BYTES_MAX,
        LOCAL_PART_BYTES_MAX,
    };
    use crate::proto::sasl::SaslFailure;

    #[test]
    fn the_texts_name_the_bounds_as_they_are() {
        let too_long = Fault::Line(LineFault::TooLong).reply().text;
        assert!(too_long.contains(&COMMAND_LINE_BYTES_MAX.to_string()));
        let too_long = Fault::Auth(AuthFault::LineTooLong).reply().text;
        assert!(too_long.contains(&AUTH_LINE_BYTES_MAX.to_string()));
        assert!(PathFault::LocalPartTooLong.text().contains(&LOCAL_PART_BYTES_MAX.to_string()));
        assert!(PathFault::DomainTooLong.text().contains(&DOMAIN_BYTES_MAX.to_string()));
        assert!(PathFault::DomainTooLong.text().contains(&LABEL_BYTES_MAX.to_string()));
    }

    #[test]
    fn both_codes_are_of_one_class() {
        let faults = [
            Fault::Line(LineFault::BareLf),
            Fault::Syntax(SyntaxFault::ParameterUnknown),
            Fault::Sender(PathFault::NonAscii),
            Fault::Recipient(PathFault::NonAscii),
            Fault::Sequence(SequenceFault::NoValidRecipient),
            Fault::Policy(PolicyFault::DeclaredTooBig),
            Fault::Policy(PolicyFault::AccessDenied),
            Fault::Sequence(SequenceFault::TlsMissing),
            Fault::Auth(AuthFault::MechanismUnknown),
            Fault::Auth(AuthFault::TlsNeeded),
            Fault::Auth(AuthFault::Cancelled),
            Fault::Auth(AuthFault::LineTooLong),
            Fault::Auth(AuthFault::Sasl(SaslFailure::Malformed)),
            Fault::Auth(AuthFault::Sasl(SaslFailure::Credentials)),
            Fault::Auth(AuthFault::FailuresOfAddress),
            Fault::Auth(AuthFault::Busy),
            Fault::Policy(PolicyFault::SenderDenied),
            Fault::Bound(BoundFault::Time),
            Fault::Bound(BoundFault::Throttle(Over::ConnectionsOfNetwork)),
            Fault::Bound(BoundFault::Throttle(Over::MessagesOfUser)),
            Fault::Bound(BoundFault::Throttle(Over::RecipientsOfAddress)),
            Fault::Local(LocalFault::MemoryShort),
            Fault::Bound(BoundFault::ListenerConnections),
            Fault::Bound(BoundFault::ProcessConnections),
            Fault::Content(ContentFault::TooManyHops),
            Fault::Local(LocalFault::StorageFull),
        ];
        for fault in faults {
            let reply = fault.reply();
            let enhanced = reply.enhanced.expect("every failure has one");
            assert_eq!(reply.code.digits()[0], b'0' + enhanced.class, "{fault:?}");
            assert!(reply.code.is_failure());
        }
    }
}
