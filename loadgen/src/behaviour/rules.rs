//! What is refused, and where a connection ends.

use serde::Deserialize;

use super::Point;
use crate::dice::Dice;

/// A refusal: its code and its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplyText {
    pub(crate) code: u16,
    /// What follows the code, line by line.
    pub(crate) lines: Vec<String>,
}

impl ReplyText {
    /// `text`, whose lines begin with no code but that of the first.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const LINES_MAX: usize = 100;
        const LINE_BYTES_MAX: usize = 1_000;
        let wrong = || "it must be a reply of 4xx or 5xx, such as `451 4.3.0 Try later`".to_owned();
        let (code, rest) = text.split_once(' ').ok_or_else(wrong)?;
        let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
        let code: u16 = code.parse().map_err(|_| wrong())?;
        let lines: Vec<String> = rest.lines().map(str::to_owned).collect();
        let is_sound = is_code
            && (400..600).contains(&code)
            && (1..=LINES_MAX).contains(&lines.len())
            && lines.iter().all(|line| line.len() <= LINE_BYTES_MAX && !line.contains('\r'));
        if is_sound { Ok(Self { code, lines }) } else { Err(wrong()) }
    }

    /// Appends it as RFC 5321 §4.2.1 wants several lines.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for (index, line) in self.lines.iter().enumerate() {
            let separator = if index + 1 == self.lines.len() { ' ' } else { '-' };
            out.extend_from_slice(format!("{}{separator}{line}\r\n", self.code).as_bytes());
        }
    }
}

/// A refusal of a share of what comes to a point.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ReplyRule {
    pub(crate) at: Point,
    pub(crate) share: f64,
    /// Local parts that it is for, `*` standing for anything at the end; without any it is for all.
    pub(crate) recipients: Vec<String>,
    pub(crate) text: ReplyText,
}

impl ReplyRule {
    fn concerns(&self, local_part: &[u8]) -> bool {
        self.recipients.is_empty()
            || self.recipients.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => local_part
                    .get(..beginning.len())
                    .is_some_and(|part| part.eq_ignore_ascii_case(beginning.as_bytes())),
                None => local_part.eq_ignore_ascii_case(pattern.as_bytes()),
            })
    }

    /// The refusal that chance gives at `at`: the shares of rules for the same point add up.
    pub(crate) fn choose<'a>(
        rules: &'a [Self],
        at: Point,
        local_part: &[u8],
        dice: &mut Dice,
    ) -> Option<&'a ReplyText> {
        let here = || rules.iter().filter(|rule| rule.at == at && rule.concerns(local_part));
        here().next()?;
        dice.by_share(here(), |rule| rule.share).map(|rule| &rule.text)
    }
}

/// Where a connection is dropped.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub(crate) enum DropAt {
    /// In the place of the reply to DATA.
    #[serde(rename = "before-data")]
    Before,
    /// In the middle of the content.
    #[serde(rename = "in-data")]
    Within,
    /// In the place of the reply to the content.
    #[serde(rename = "after-data")]
    Behind,
}

/// A share of the messages whose connection is dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Drop {
    pub(crate) at: DropAt,
    pub(crate) share: f64,
    /// Bytes of content that come before, of those dropped in the middle.
    pub(crate) after_bytes: u64,
    /// Those dropped behind the content were taken: they count as delivered.
    pub(crate) taken: bool,
}

impl Drop {
    /// What chance gives a message.
    pub(crate) fn choose(drops: &[Self], dice: &mut Dice) -> Option<Self> {
        if drops.is_empty() {
            return None;
        }
        dice.by_share(drops.iter().copied(), |drop| drop.share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_replies() {
        let mut out = Vec::new();
        ReplyText::parse("550 5.1.1 No such\nperson here").unwrap().write(&mut out);
        assert_eq!(out, b"550-5.1.1 No such\r\n550 person here\r\n");
        for wrong in ["", "250 fine", "550", "55x no", "5500 no", "+55 no", "450 a\rb"] {
            assert!(ReplyText::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_add_up_and_concern_whom_they_name() {
        let rule = |share, recipients: &[&str], text| ReplyRule {
            at: Point::Rcpt,
            share,
            recipients: recipients.iter().map(|text| (*text).to_owned()).collect(),
            text: ReplyText::parse(text).unwrap(),
        };
        let rules =
            [rule(0.2, &[], "451 a"), rule(0.3, &[], "452 b"), rule(1.0, &["no*"], "550 c")];
        let mut dice = Dice::new(5);
        let mut count = |local_part: &[u8], code| {
            let mut choose = |_| {
                ReplyRule::choose(&rules, Point::Rcpt, local_part, &mut dice)
                    .is_some_and(|text| text.code == code)
            };
            (0..10_000).filter(|_| choose(())).count()
        };
        assert!((1_800..2_200).contains(&count(b"me", 451)));
        assert!((2_700..3_300).contains(&count(b"me", 452)));
        assert_eq!(count(b"me", 550), 0);
        assert!((4_700..5_300).contains(&count(b"Nobody", 550)));
        assert_eq!(ReplyRule::choose(&rules, Point::Data, b"nobody", &mut dice), None);
    }

    #[test]
    fn drops_have_their_shares() {
        let drop = |at, share| Drop { at, share, after_bytes: 0, taken: false };
        let drops = [drop(DropAt::Within, 0.25), drop(DropAt::Behind, 0.5)];
        let mut dice = Dice::new(5);
        let chosen: Vec<Option<DropAt>> =
            (0..10_000).map(|_| Drop::choose(&drops, &mut dice).map(|drop| drop.at)).collect();
        let count = |at| chosen.iter().filter(|it| **it == at).count();
        assert!((2_300..2_700).contains(&count(Some(DropAt::Within))));
        assert!((4_700..5_300).contains(&count(Some(DropAt::Behind))));
        assert_eq!(Drop::choose(&[], &mut dice), None);
    }
}
