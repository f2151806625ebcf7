//! Redemption codes (R10): what a member shows or dictates, and the little of it that is kept.

use std::fmt;

/// 10^15 codes: 49.8 bits. At a million live codes, a guess that passes the check digit hits one in a billion.
const CODES: u64 = 1_000_000_000_000_000;

/// The quasigroup of Damm's check digit: it catches every wrong digit and every swap of neighbours, which Luhn does not.
const DAMM: [[u8; 10]; 10] = [
    [0, 3, 1, 7, 5, 9, 8, 6, 4, 2],
    [7, 0, 9, 2, 1, 5, 4, 8, 6, 3],
    [4, 2, 0, 6, 8, 7, 1, 3, 5, 9],
    [1, 7, 5, 0, 9, 8, 3, 4, 2, 6],
    [6, 1, 2, 3, 0, 4, 5, 9, 7, 8],
    [3, 6, 7, 4, 2, 0, 9, 5, 8, 1],
    [5, 8, 6, 9, 7, 2, 0, 1, 3, 4],
    [8, 9, 4, 5, 3, 6, 2, 0, 1, 7],
    [9, 4, 3, 8, 6, 1, 7, 2, 0, 5],
    [2, 5, 8, 1, 4, 3, 6, 7, 9, 0],
];

fn damm(digits: &[u8]) -> u8 {
    digits.iter().fold(0, |at, digit| DAMM[usize::from(at)][usize::from(*digit)])
}

/// A redemption code (核销码): 15 random digits and a check digit. Shown in groups of four; hidden from logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Code([u8; 16]);

/// Why a text is not a code. Somebody mistyped; it counts as no guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCode {
    /// Not 16 digits.
    #[error("a redemption code has 16 digits")]
    Length,
    /// A digit is wrong or two are swapped.
    #[error("the check digit does not fit: a digit is wrong or two are swapped")]
    CheckDigit,
}

/// What the ledger keeps of a code: enough to find it, useless without the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CodeHash(pub [u8; 16]);

impl Code {
    /// A new code from the system's generator.
    pub fn generate() -> Result<Self, getrandom::Error> {
        loop {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes)?;
            // 50 bits, drawn again above 10^15 (one in nine), so that every code is as likely as any other.
            let number = u64::from_le_bytes(bytes) >> 14;
            if number < CODES {
                return Ok(Self::from_number(number));
            }
        }
    }

    /// The code whose 15 digits are `number` modulo 10^15.
    pub fn from_number(number: u64) -> Self {
        let mut digits = [0u8; 16];
        let mut rest = number % CODES;
        for digit in digits[..15].iter_mut().rev() {
            *digit = (rest % 10) as u8;
            rest /= 10;
        }
        digits[15] = damm(&digits[..15]);
        Code(digits)
    }

    /// Its 15 digits as a number.
    pub fn number(&self) -> u64 {
        self.0[..15].iter().fold(0, |n, digit| n * 10 + u64::from(*digit))
    }

    /// Reads what was typed: blanks and dashes are skipped, full-width digits read as digits.
    pub fn parse(text: &str) -> Result<Self, BadCode> {
        let mut digits = [0u8; 16];
        let mut len = 0;
        for c in text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '‐' | '–' | '—' | '－')) {
            let digit = match c {
                '0'..='9' => c as u32 - '0' as u32,
                '０'..='９' => c as u32 - '０' as u32,
                _ => return Err(BadCode::Length),
            };
            *digits.get_mut(len).ok_or(BadCode::Length)? = digit as u8;
            len += 1;
        }
        if len != 16 {
            return Err(BadCode::Length);
        }
        if damm(&digits) != 0 {
            return Err(BadCode::CheckDigit);
        }
        Ok(Code(digits))
    }

    /// The last four digits, check digit included: what a clerk may see of it.
    pub fn last_four(&self) -> String {
        self.0[12..].iter().map(|d| char::from(b'0' + d)).collect()
    }

    /// What is kept of it.
    pub fn hash(&self, secret: &Secret) -> CodeHash {
        let hash = blake3::keyed_hash(&secret.codes, &self.0);
        let mut head = [0; 16];
        head.copy_from_slice(&hash.as_bytes()[..16]);
        CodeHash(head)
    }
}

/// In groups of four, as members read it: `1234 5678 9012 3456`.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, digit) in self.0.iter().enumerate() {
            if i > 0 && i % 4 == 0 {
                f.write_str(" ")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// Codes stay out of logs.
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code(…{})", self.last_four())
    }
}

/// The chain's secret and the keys made from it. It is kept apart from the ledger: with it, 10^15 codes are soon tried.
#[derive(Clone)]
pub struct Secret {
    codes: [u8; 32],
    pub(crate) qr: [u8; 32],
    seal: [u8; 32],
    private: [u8; 32],
}

impl Secret {
    /// The keys of a secret of 256 random bits.
    pub fn new(secret: &[u8; 32]) -> Self {
        Secret {
            codes: blake3::derive_key("hexiao 2026-11 redemption codes", secret),
            qr: blake3::derive_key("hexiao 2026-11 QR tokens", secret),
            seal: blake3::derive_key("hexiao 2026-11 sealed codes", secret),
            private: blake3::derive_key("hexiao 2026-11 private values", secret),
        }
    }

    /// A keyed hash of a private value, such as a phone number or the parameters of a request.
    pub fn hash(&self, value: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.private, value).as_bytes()
    }

    /// Seals a code under `name`, which must be kept secret and serve once: what a repeated request gets again (R2) must
    /// not lie in the ledger in clear (R10). Sealing twice gives back the number.
    pub fn seal(&self, name: &[u8], number: u64) -> u64 {
        let pad = blake3::keyed_hash(&self.seal, name);
        let mut head = [0; 8];
        head.copy_from_slice(&pad.as_bytes()[..8]);
        number ^ u64::from_le_bytes(head)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r10_codes_show_in_groups_and_read_back() {
        // 572 is the published example of Damm's digit: 4.
        assert_eq!(damm(&[5, 7, 2]), 4);
        let code = Code::from_number(123_456_789_012_345);
        let shown = code.to_string();
        assert_eq!(shown.len(), 19);
        assert!(shown.starts_with("1234 5678 9012 345"));
        for typed in [shown.clone(), shown.replace(' ', ""), shown.replace(' ', "-"), shown.replace('1', "１")] {
            assert_eq!(Code::parse(&typed).as_ref(), Ok(&code), "{typed}");
        }
        assert_eq!(format!("{code:?}"), format!("Code(…{})", code.last_four()));
        for (typed, fault) in [
            ("", BadCode::Length),
            ("1234", BadCode::Length),
            ("12345678901234567", BadCode::Length),
            ("123456789012345x", BadCode::Length),
        ] {
            assert_eq!(Code::parse(typed), Err(fault), "{typed}");
        }
        let (a, b) = (Code::generate().unwrap(), Code::generate().unwrap());
        assert_ne!(a, b);
        let secret = Secret::new(&[7; 32]);
        assert_ne!(a.hash(&secret), b.hash(&secret));
        assert_ne!(a.hash(&secret), a.hash(&Secret::new(&[8; 32])));
        assert_eq!(secret.seal(b"k", secret.seal(b"k", 42)), 42);
    }

    proptest! {
        #[test]
        fn r10_one_wrong_digit_or_swap_is_caught(number in 0u64..CODES, at in 0usize..16, add in 1u8..10) {
            let code = Code::from_number(number);
            prop_assert_eq!(code.number(), number);
            prop_assert_eq!(Code::parse(&code.to_string()), Ok(code.clone()));
            let mut wrong = code.0;
            wrong[at] = (wrong[at] + add) % 10;
            prop_assert!(damm(&wrong) != 0);
            let mut swapped = code.0;
            swapped.swap(at, (at + 1).min(15));
            prop_assert!(swapped == code.0 || damm(&swapped) != 0);
        }

        #[test]
        fn any_text_is_a_code_or_refused(text in "\\PC{0,40}") {
            let _ = Code::parse(&text);
        }
    }
}
