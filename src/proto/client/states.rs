//! The states of a client session in protocol order, with the time-out and the words for each.

use std::time::Duration;

/// Where a session stands: what it sent last and waits for. The order is that of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientState {
    /// Connected, waits for the 220.
    Greeting,
    /// Sent EHLO.
    Ehlo,
    /// Sent HELO, since EHLO was refused.
    Helo,
    /// A transaction may begin.
    Idle,
    /// Sent RSET in front of a transaction.
    Reset,
    /// Sent MAIL; with PIPELINING the whole group.
    Mail,
    /// Waits for the answer to a RCPT.
    Rcpt,
    /// Waits for the answer to DATA.
    Data,
    /// The caller sends the content.
    Content,
    /// The end of data is on its way; the peer may have taken the message or not.
    EndOfData,
    /// DATA was let through although no recipient was accepted: an empty message was sent
    /// (RFC 2920 §3.1).
    EndOfNothing,
    /// Sent QUIT.
    Quit,
    /// The session is over.
    Closed,
}

impl ClientState {
    /// What the session was doing, to follow "while" in a log line or a bounce.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Greeting => "waiting for the greeting",
            Self::Ehlo => "waiting for the answer to EHLO",
            Self::Helo => "waiting for the answer to HELO",
            Self::Idle => "waiting for the next message",
            Self::Reset => "waiting for the answer to RSET",
            Self::Mail => "waiting for the answer to MAIL",
            Self::Rcpt => "waiting for the answer to RCPT",
            Self::Data => "waiting for the answer to DATA",
            Self::Content => "sending the content",
            Self::EndOfData => {
                "waiting for the answer to the end of data (the message may arrive twice)"
            }
            Self::EndOfNothing => "waiting for the answer to an empty message",
            Self::Quit => "waiting for the answer to QUIT",
            Self::Closed => "closed",
        }
    }

    /// What a refusal answered, to follow the text of the reply.
    pub const fn answered(self) -> &'static str {
        match self {
            Self::Greeting => "as greeting",
            Self::Ehlo => "in reply to EHLO",
            Self::Helo => "in reply to HELO",
            Self::Idle | Self::Closed => "in reply to nothing",
            Self::Reset => "in reply to RSET",
            Self::Mail => "in reply to MAIL",
            Self::Rcpt => "in reply to RCPT",
            Self::Data => "in reply to DATA",
            Self::Content => "in the middle of the content",
            Self::EndOfData | Self::EndOfNothing => "in reply to the end of data",
            Self::Quit => "in reply to QUIT",
        }
    }

    /// How long the session may stay here; `None`: as long as the caller likes.
    pub const fn timeout(self, timeouts: &ClientTimeouts) -> Option<Duration> {
        match self {
            Self::Greeting => Some(timeouts.greeting),
            Self::Ehlo | Self::Helo => Some(timeouts.ehlo),
            Self::Idle | Self::Closed => None,
            Self::Reset => Some(timeouts.reset),
            Self::Mail => Some(timeouts.mail),
            Self::Rcpt => Some(timeouts.rcpt),
            Self::Data => Some(timeouts.data_initiation),
            Self::Content => Some(timeouts.data_block),
            Self::EndOfData | Self::EndOfNothing => Some(timeouts.end_of_data),
            Self::Quit => Some(timeouts.quit),
        }
    }
}

/// How long a client waits in each state. A time-out runs from the moment the state is entered, not
/// from the last byte, so that a peer which drips bytes gains nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// From the connection to the 220.
    pub greeting: Duration,
    /// For the answer to EHLO or HELO.
    pub ehlo: Duration,
    /// For the answer to MAIL.
    pub mail: Duration,
    /// For the answer to each RCPT.
    pub rcpt: Duration,
    /// For the answer to DATA.
    pub data_initiation: Duration,
    /// For each block of the content to leave: from one
    /// [`content_progress`](super::ClientSession::content_progress) to the next.
    pub data_block: Duration,
    /// For the answer to the end of data. Too short a value makes duplicates (RFC 1047).
    pub end_of_data: Duration,
    /// For the answer to RSET, which a server need not think about.
    pub reset: Duration,
    /// For the answer to QUIT: nothing hangs on it any more.
    pub quit: Duration,
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        Self {
            greeting: minutes(5),        // RFC 5321 §4.5.3.2.1
            ehlo: minutes(5),            // not in RFC 5321; as for MAIL
            mail: minutes(5),            // RFC 5321 §4.5.3.2.2
            rcpt: minutes(5),            // RFC 5321 §4.5.3.2.3
            data_initiation: minutes(2), // RFC 5321 §4.5.3.2.4
            data_block: minutes(3),      // RFC 5321 §4.5.3.2.5
            end_of_data: minutes(10),    // RFC 5321 §4.5.3.2.6
            reset: Duration::from_secs(20),
            quit: Duration::from_secs(5),
        }
    }
}
