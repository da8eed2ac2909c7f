"""Sends standard input as one message, with TLS and authentication, by a client of choice.

    send_secure.py CLIENT ADDRESS PORT SENDER RECIPIENT TLS AUTHORITY MECHANISM USER PASSWORD

CLIENT is smtplib or aiosmtplib. TLS is none, starttls or implicit; AUTHORITY the file of the
certificate to trust. MECHANISM may be empty, for no authentication; smtplib also knows
SCRAM-SHA-256-PLUS, by scramp.
"""

import asyncio
import base64
import smtplib
import ssl
import sys

import aiosmtplib
from scramp import ScramClient

TIMEOUT_S = 60


def log_in_with_scram_plus(session, user, password):
    binding = ("tls-server-end-point", session.sock)
    client = ScramClient(
        ["SCRAM-SHA-256-PLUS"], user, password, channel_binding=binding
    )
    first = base64.b64encode(client.get_client_first().encode()).decode()
    code, challenge = session.docmd("AUTH", f"SCRAM-SHA-256-PLUS {first}")
    assert code == 334, (code, challenge)
    client.set_server_first(base64.b64decode(challenge).decode())
    final = base64.b64encode(client.get_client_final().encode()).decode()
    code, challenge = session.docmd(final)
    assert code == 334, (code, challenge)
    # The server proves here that it knows the verifier too.
    client.set_server_final(base64.b64decode(challenge).decode())
    code, text = session.docmd("")
    assert code == 235, (code, text)


def log_in(session, mechanism, user, password):
    if mechanism == "SCRAM-SHA-256-PLUS":
        log_in_with_scram_plus(session, user, password)
        return
    session.user, session.password = user, password
    answer = {"PLAIN": session.auth_plain, "LOGIN": session.auth_login}[mechanism]
    session.auth(mechanism, answer)


def send_with_smtplib(address, port, sender, recipient, tls, context, login, content):
    make = smtplib.SMTP
    options = {}
    if tls == "implicit":
        make, options = smtplib.SMTP_SSL, {"context": context}
    with make(address, port, timeout=TIMEOUT_S, **options) as session:
        if tls == "starttls":
            session.starttls(context=context)
        session.ehlo()
        if login[0]:
            log_in(session, *login)
        refused = session.sendmail(sender, [recipient], content, ["BODY=8BITMIME"])
    if refused:
        sys.exit(f"refused: {refused}")


async def send_with_aiosmtplib(
    address, port, sender, recipient, tls, context, login, content
):
    session = aiosmtplib.SMTP(
        hostname=address,
        port=port,
        timeout=TIMEOUT_S,
        use_tls=tls == "implicit",
        start_tls=tls == "starttls",
        tls_context=context,
    )
    async with session:
        mechanism, user, password = login
        if mechanism:
            answer = {"PLAIN": session.auth_plain, "LOGIN": session.auth_login}
            await session.ehlo()
            await answer[mechanism](user, password)
        refused, _ = await session.sendmail(
            sender, [recipient], content, mail_options=["BODY=8BITMIME"]
        )
    if refused:
        sys.exit(f"refused: {refused}")


def main():
    client, address, port, sender, recipient, tls, authority, *login = sys.argv[1:]
    context = None
    if tls != "none":
        context = ssl.create_default_context(cafile=authority)
    content = sys.stdin.buffer.read()
    where = (address, int(port), sender, recipient, tls, context, login, content)
    if client == "smtplib":
        send_with_smtplib(*where)
    else:
        asyncio.run(send_with_aiosmtplib(*where))


main()
