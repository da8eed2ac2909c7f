// Sends standard input as one message with nodemailer; what to do comes as JSON:
//   { address, port, sender, recipient, tls, authority, mechanism, user, password }

"use strict";

const fs = require("node:fs");
const path = require("node:path");

const settings = JSON.parse(process.argv[2]);
const nodemailer = require(path.join(settings.modules, "nodemailer"));

const options = {
  host: settings.address,
  port: settings.port,
  secure: settings.tls === "implicit",
  requireTLS: settings.tls === "starttls",
  ignoreTLS: settings.tls === "none",
};
if (settings.tls !== "none") {
  options.tls = { ca: fs.readFileSync(settings.authority) };
}
if (settings.mechanism) {
  options.authMethod = settings.mechanism;
  options.auth = { user: settings.user, pass: settings.password };
}

nodemailer
  .createTransport(options)
  .sendMail({
    envelope: { from: settings.sender, to: [settings.recipient] },
    raw: fs.readFileSync(0),
  })
  .then((sent) => {
    if (sent.rejected.length > 0) {
      throw new Error(`refused: ${sent.rejected}`);
    }
  })
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
