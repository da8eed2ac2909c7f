//! A client of SCRAM, written from RFC 5802 §3 and §7 with HMAC and PBKDF2 spelled out, so that it
//! shares no mistake with the server.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// RFC 2104 §2.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    assert!(key.len() <= 64, "a longer key would be hashed first");
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(pad, byte)| *pad ^= byte);
        block.to_vec()
    };
    let inner = Sha256::digest([pad(0x36), text.to_vec()].concat());
    Sha256::digest([pad(0x5c), inner.to_vec()].concat()).into()
}

fn xor(mut left: [u8; 32], right: [u8; 32]) -> [u8; 32] {
    left.iter_mut().zip(right).for_each(|(left, right)| *left ^= right);
    left
}

/// `Hi` (RFC 5802 §2.2).
fn hi(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut last = hmac(password, &[salt, &1_u32.to_be_bytes()].concat());
    let mut sum = last;
    for _ in 1..iterations {
        last = hmac(password, &last);
        sum = xor(sum, last);
    }
    sum
}

/// One log-in as a client sees it.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// Flag and authorization identity with both commas: `n,,`.
    pub(super) gs2_header: String,
    /// What identifies the connection, for a header with `p=`.
    pub(super) binding: Vec<u8>,
    /// As it is sent, with `=2C` and `=3D`.
    pub(super) name: String,
    pub(super) password: String,
    pub(super) nonce: String,
}

/// What a server's first message says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) nonce: String,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

impl Offer {
    pub(super) fn parse(message: &str) -> Self {
        let parts: Vec<&str> = message.split(',').collect();
        let [nonce, salt, iterations] = parts[..] else { panic!("{message}") };
        let value = |part: &str, name: &str| part.strip_prefix(name).expect(message).to_owned();
        Self {
            nonce: value(nonce, "r="),
            salt: STANDARD.decode(value(salt, "s=")).expect(message),
            iterations: value(iterations, "i=").parse().expect(message),
        }
    }
}

impl Client {
    pub(super) fn new(name: &str, password: &str) -> Self {
        Self {
            gs2_header: "n,,".to_owned(),
            binding: Vec::new(),
            name: name.to_owned(),
            password: password.to_owned(),
            nonce: "rOprNGfwEbeRWgbNEkqO".to_owned(),
        }
    }

    fn first_bare(&self) -> String {
        format!("n={},r={}", self.name, self.nonce)
    }

    pub(super) fn first(&self) -> String {
        format!("{}{}", self.gs2_header, self.first_bare())
    }

    /// The final message, and what the server must answer.
    pub(super) fn answer(&self, server_first: &str) -> (String, String) {
        let offer = Offer::parse(server_first);
        let rest = offer.nonce.strip_prefix(&self.nonce).expect("the nonce goes on");
        assert!(rest.len() >= 16, "{rest}");
        let bound = [self.gs2_header.as_bytes(), &self.binding].concat();
        let without_proof = format!("c={},r={}", STANDARD.encode(bound), offer.nonce);
        let signed = format!("{},{server_first},{without_proof}", self.first_bare());
        let salted = hi(self.password.as_bytes(), &offer.salt, offer.iterations);
        let client_key = hmac(&salted, b"Client Key");
        let stored_key = Sha256::digest(client_key);
        let proof = xor(client_key, hmac(&stored_key, signed.as_bytes()));
        let signature = hmac(&hmac(&salted, b"Server Key"), signed.as_bytes());
        let message = format!("{without_proof},p={}", STANDARD.encode(proof));
        (message, format!("v={}", STANDARD.encode(signature)))
    }
}
