"""A receiving server on aiosmtpd that tells how clients spoke to it.

    dialogue_server.py [--tls CERTIFICATE KEY] [--login USER PASSWORD]

It prints its address once it listens, and then a line of JSON for each message: the client's
address, sender and recipients, the parameters of MAIL, whether it came over TLS and from whom, and
how many bytes of its content lie above 127. It offers SIZE, 8BITMIME and SMTPUTF8, STARTTLS with
--tls, and with --login AUTH, without which it takes no mail then.
"""

import argparse
import asyncio
import json
import ssl

from aiosmtpd.smtp import SMTP, AuthResult


class Tell:
    async def handle_DATA(self, server, session, envelope):
        login = session.auth_data
        message = {
            "client": session.peer[0],
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "parameters": envelope.mail_options,
            "tls": session.ssl is not None,
            "login": login.login.decode() if login else None,
            "bytes": len(envelope.content),
            "above_127": sum(byte > 127 for byte in envelope.content),
        }
        print(json.dumps(message), flush=True)
        return "250 2.0.0 taken"


def checks(user, password):
    def check(server, session, envelope, mechanism, login):
        is_right = (login.login, login.password) == (user.encode(), password.encode())
        return AuthResult(success=is_right, handled=False, auth_data=login)

    return check


async def serve(arguments):
    options = {"enable_SMTPUTF8": True, "hostname": "dialogue.test"}
    if arguments.tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*arguments.tls)
        options["tls_context"] = context
    if arguments.login:
        options["authenticator"] = checks(*arguments.login)
        options["auth_required"] = True
        options["auth_require_tls"] = bool(arguments.tls)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Tell(), **options), "127.0.0.1", 0)
    print("%s:%d" % server.sockets[0].getsockname(), flush=True)
    await server.serve_forever()


parser = argparse.ArgumentParser()
parser.add_argument("--tls", nargs=2)
parser.add_argument("--login", nargs=2)
asyncio.run(serve(parser.parse_args()))
