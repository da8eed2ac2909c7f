//! Each parameter with what its RFC allows and what it does not.

use proptest::prelude::*;

use super::*;

fn all(text: &str) -> Result<MailParameters, SyntaxFault> {
    mail(format!("<> {text}").as_bytes(), 2, &|_| true)
}

fn mail_of(text: &str) -> MailParameters {
    all(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"))
}

fn rcpt_of(text: &str, smtputf8: bool) -> Result<(Option<Notify>, Option<String>), SyntaxFault> {
    let line = format!("<> {text}");
    let parameters = rcpt(line.as_bytes(), 2, &|_| true, smtputf8)?;
    let text = |span: Span| String::from_utf8_lossy(span.of(line.as_bytes())).into_owned();
    Ok((parameters.notify, parameters.original_recipient.map(text)))
}

fn check_bad(bad: &[&str], fault: ValueFault) {
    for text in bad {
        assert_eq!(all(text), Err(SyntaxFault::Value(fault)), "{text}");
    }
}

#[test]
fn nothing_is_no_parameter() {
    assert_eq!(all(""), Ok(MailParameters::default()));
    assert_eq!(mail(b"<>", 2, &|_| true), Ok(MailParameters::default()));
    assert_eq!(rcpt_of("", false), Ok((None, None)));
}

#[test]
fn what_the_content_is() {
    assert_eq!(mail_of("SIZE=0").declared_bytes, Some(0));
    assert_eq!(mail_of("size=00000000000000000042").declared_bytes, Some(42));
    assert_eq!(mail_of("SIZE=18446744073709551615").declared_bytes, Some(u64::MAX));
    assert_eq!(mail_of("SIZE=99999999999999999999").declared_bytes, Some(u64::MAX));
    check_bad(&["SIZE", "SIZE=1k", "SIZE=-1", "SIZE=000000000000000000001"], ValueFault::Size);
    assert_eq!(mail_of("BODY=7BIT").body_type, BodyType::SevenBit);
    assert_eq!(mail_of("body=8bitMIME").body_type, BodyType::EightBit);
    assert_eq!(mail_of("BODY=BINARYMIME").body_type, BodyType::Binary);
    check_bad(&["BODY", "BODY=9BIT", "BODY=8BIT"], ValueFault::Body);
}

#[test]
fn flags_have_no_value() {
    let mail = mail_of("smtputf8 REQUIRETLS");
    assert!(mail.smtputf8 && mail.require_tls);
    check_bad(&["SMTPUTF8=YES", "REQUIRETLS=1"], ValueFault::Flag);
}

#[test]
fn what_notices_hold() {
    assert_eq!(mail_of("RET=FULL").returned_content, Some(ReturnedContent::Full));
    assert_eq!(mail_of("ret=hdrs").returned_content, Some(ReturnedContent::Headers));
    check_bad(&["RET", "RET=HEADERS", "RET=FULL,HDRS"], ValueFault::Ret);
    let envid = format!("ENVID={}", "x".repeat(ENVELOPE_ID_BYTES_MAX));
    assert!(mail_of(&envid).envelope_id.is_some_and(|id| id.length == ENVELOPE_ID_BYTES_MAX));
    let longer = envid + "x";
    check_bad(&["ENVID", "ENVID=+", "ENVID=a+0D+0Ab", "ENVID=+2b", &longer], ValueFault::Envid);
}

#[test]
fn when_a_message_is_released() {
    assert_eq!(mail_of("HOLDFOR=1").hold, Some(Hold::For(1)));
    assert_eq!(mail_of("HOLDFOR=999999999").hold, Some(Hold::For(999_999_999)));
    let bad = ["HOLDFOR", "HOLDFOR=0", "HOLDFOR=01", "HOLDFOR=1000000000", "HOLDFOR=1s"];
    check_bad(&bad, ValueFault::HoldFor);
    let until = Hold::Until(WallTime::from_unix_ms(1_795_492_893_000));
    assert_eq!(mail_of("HOLDUNTIL=2026-11-24T04:01:33Z").hold, Some(until));
    check_bad(&["HOLDUNTIL", "HOLDUNTIL=1795492893", "HOLDUNTIL=now"], ValueFault::HoldUntil);
}

#[test]
fn by_when_a_message_is_delivered() {
    let by = |seconds, mode, trace| Some(By { seconds, mode, trace });
    let (notify, ret) = (DeliverByMode::Notify, DeliverByMode::Return);
    assert_eq!(mail_of("BY=120;R").deliver_by, by(120, ret, false));
    assert_eq!(mail_of("BY=+000000001;rt").deliver_by, by(1, ret, true));
    assert_eq!(mail_of("BY=-999999999;NT").deliver_by, by(-999_999_999, notify, true));
    assert_eq!(mail_of("BY=0;n").deliver_by, by(0, notify, false));
    let bad = [
        "BY",
        "BY=1",
        "BY=;R",
        "BY=-;R",
        "BY=1;",
        "BY=1;X",
        "BY=1;RTT",
        "BY=1;TR",
        "BY=1000000000;R",
        "BY=--1;N",
        "BY=1;R;T",
    ];
    check_bad(&bad, ValueFault::By);
    check_bad(&["BY=0;R", "BY=-1;RT"], ValueFault::ByHasPassed);
}

#[test]
fn priorities() {
    for priority in -9..=9 {
        assert_eq!(mail_of(&format!("MT-PRIORITY={priority}")).priority, Some(priority));
    }
    let bad =
        ["MT-PRIORITY", "MT-PRIORITY=10", "MT-PRIORITY=-0", "MT-PRIORITY=+1", "MT-PRIORITY=x"];
    check_bad(&bad, ValueFault::Priority);
}

#[test]
fn who_submitted_is_checked_and_dropped() {
    for good in ["AUTH=<>", "AUTH=e+3Dmc2@example.com", "auth=a@b"] {
        assert_eq!(all(good), Ok(MailParameters::default()), "{good}");
    }
    check_bad(&["AUTH", "AUTH=a+zz", "AUTH=a+00"], ValueFault::Auth);
}

#[test]
fn a_parameter_is_given_once() {
    let twice = [
        "SIZE=1 SIZE=1",
        "BODY=7BIT body=7BIT",
        "SMTPUTF8 SMTPUTF8",
        "HOLDFOR=1 HOLDUNTIL=2026-11-24T04:01:33Z",
        "AUTH=<> SIZE=1 AUTH=<>",
    ];
    for text in twice {
        assert_eq!(all(text), Err(SyntaxFault::ParameterMalformed), "{text}");
    }
    for text in ["NOTIFY=NEVER NOTIFY=NEVER", "ORCPT=rfc822;a ORCPT=rfc822;a"] {
        assert_eq!(rcpt_of(text, false), Err(SyntaxFault::ParameterMalformed), "{text}");
    }
}

#[test]
fn what_is_not_offered_is_unknown_whatever_its_value() {
    let parameters = [
        "SIZE=x",
        "BODY=x",
        "SMTPUTF8=x",
        "RET=x",
        "ENVID=+",
        "REQUIRETLS=x",
        "HOLDFOR=x",
        "HOLDUNTIL=x",
        "BY=x",
        "MT-PRIORITY=x",
        "AUTH=+",
        "NOTIFY=x",
        "X-OTHER",
    ];
    for text in parameters {
        let line = format!("<> {text}");
        let unknown = Err(SyntaxFault::ParameterUnknown);
        assert_eq!(mail(line.as_bytes(), 2, &|_| false), unknown, "{text}");
    }
    for text in ["NOTIFY=x", "ORCPT=x", "SIZE=1"] {
        let line = format!("<> {text}");
        let unknown = Err(SyntaxFault::ParameterUnknown);
        assert_eq!(rcpt(line.as_bytes(), 2, &|_| false, false), unknown, "{text}");
    }
}

#[test]
fn conditions_of_notices() {
    let notify = |success, failure, delay| Notify { success, failure, delay };
    let good = [
        ("NOTIFY=NEVER", notify(false, false, false)),
        ("NOTIFY=SUCCESS", notify(true, false, false)),
        ("notify=delay,failure", notify(false, true, true)),
        ("NOTIFY=SUCCESS,FAILURE,DELAY", notify(true, true, true)),
    ];
    for (text, expected) in good {
        assert_eq!(rcpt_of(text, false), Ok((Some(expected), None)), "{text}");
    }
    let bad = [
        "NOTIFY",
        "NOTIFY=NEVER,SUCCESS",
        "NOTIFY=SUCCESS,SUCCESS",
        "NOTIFY=SUCCESS,",
        "NOTIFY=ALWAYS",
    ];
    for text in bad {
        assert_eq!(rcpt_of(text, false), Err(ValueFault::Notify.into()), "{text}");
    }
}

#[test]
fn original_recipients() {
    let longest = format!("rfc822;{}", "x".repeat(ORIGINAL_RECIPIENT_BYTES_MAX - 7));
    let ascii =
        ["rfc822;a+2Bb@c.example", "X400;/c+3Dgb/", "rfc822;", "utf-8;a\\x{E9}@b", &longest];
    for value in ascii {
        let expected = Ok((None, Some(String::from(value))));
        assert_eq!(rcpt_of(&format!("ORCPT={value}"), false), expected, "{value}");
    }
    let raw = "ORCPT=UTF-8;josé@b.example";
    assert!(rcpt_of(raw, true).is_ok());
    assert_eq!(rcpt_of(raw, false), Err(SyntaxFault::ParameterMalformed));
    let longer = format!("ORCPT={longest}x");
    let bad = [
        "ORCPT",
        "ORCPT=rfc822",
        "ORCPT=;a",
        "ORCPT=rfc@822;a",
        "ORCPT=rfc822;a+0Ab",
        "ORCPT=utf-8;",
        "ORCPT=utf-8;a+2Bb",
        "ORCPT=rfc822;josé",
        &longer,
    ];
    for text in bad {
        assert_eq!(rcpt_of(text, true), Err(ValueFault::Orcpt.into()), "{text}");
    }
}

#[test]
fn what_is_no_parameter_is_malformed() {
    for text in ["=", "SIZE==1", "-X=1", "SIZE=", "X_Y=1", "SIZE=é", "é=1"] {
        assert_eq!(all(text), Err(SyntaxFault::ParameterMalformed), "{text}");
    }
    let glued = mail(b"<>SIZE=1", 2, &|_| true);
    assert_eq!(glued, Err(SyntaxFault::ParameterMalformed));
}

#[test]
fn the_texts_name_the_bounds_as_they_are() {
    assert!(ValueFault::Envid.text().contains(&ENVELOPE_ID_BYTES_MAX.to_string()));
    assert!(ValueFault::Orcpt.text().contains(&ORIGINAL_RECIPIENT_BYTES_MAX.to_string()));
}

proptest! {
    #[test]
    fn nothing_makes_it_panic_and_spans_lie_in_the_line(
        text in "((SIZE|BY|ENVID|ORCPT|NOTIFY|HOLDFOR|HOLDUNTIL|AUTH|RET)?\
                 [=;+\\-0-9a-zA-Z,é \\\\{}]{0,9}){0,4}",
        utf8 in any::<bool>(),
    ) {
        let line = format!("<> {text}");
        if let Ok(parameters) = mail(line.as_bytes(), 2, &|_| true) {
            prop_assert!(parameters.envelope_id.is_none_or(|id| id.end() <= line.len()));
        }
        if let Ok(parameters) = rcpt(line.as_bytes(), 2, &|_| true, utf8) {
            let original = parameters.original_recipient;
            prop_assert!(original.is_none_or(|original| original.end() <= line.len()));
        }
    }
}
