//! The QR form of a code (R10): a signed token that is good for its 30 seconds, its neighbours', and one use.

use event::Instant;

use crate::{OrderId, Secret};

/// Long enough for a clerk to raise the scanner, short enough that a photographed screen is worthless.
pub const QR_STEP_SECS: i64 = 30;

/// A token that was signed here and is not stale. Whether its step was used already is the ledger's to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QrToken {
    /// The order it stands for.
    pub order_id: OrderId,
    /// The time step it was made in.
    pub step: i64,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QrFault {
    /// Not a token, or not signed with this chain's key.
    #[error("not a token of this chain")]
    Forged,
    /// From another time step than this one and its neighbours.
    #[error("the token is from another time; the member's screen shows a new one every 30 s")]
    Stale,
}

fn step_at(at: Instant) -> i64 {
    at.0.div_euclid(QR_STEP_SECS * 1_000_000)
}

fn signature(secret: &Secret, order: OrderId, step: i64) -> [u8; 16] {
    let mut message = [0; 16];
    message[..8].copy_from_slice(&order.0.to_le_bytes());
    message[8..].copy_from_slice(&step.to_le_bytes());
    let mut head = [0; 16];
    head.copy_from_slice(&blake3::keyed_hash(&secret.qr, &message).as_bytes()[..16]);
    head
}

/// The token of an order at `at`: `HX1.<order>.<step>.<signature>`, of the characters that QR codes pack densely.
pub fn qr_token(secret: &Secret, order: OrderId, at: Instant) -> String {
    let step = step_at(at);
    let signature: String = signature(secret, order, step).iter().map(|b| format!("{b:02X}")).collect();
    format!("HX1.{order}.{step}.{signature}")
}

/// Reads a token at `at`: its own step and one to either side are accepted, because clocks differ.
pub fn qr_read(secret: &Secret, token: &str, at: Instant) -> Result<QrToken, QrFault> {
    let mut fields = token.trim().split('.');
    let mut next = || fields.next().ok_or(QrFault::Forged);
    if next()? != "HX1" {
        return Err(QrFault::Forged);
    }
    let order_id: OrderId = next()?.parse().map_err(|_| QrFault::Forged)?;
    let step: i64 = next()?.parse().map_err(|_| QrFault::Forged)?;
    let shown = next()?;
    let expected = signature(secret, order_id, step);
    if shown.len() != 32 || fields.next().is_some() {
        return Err(QrFault::Forged);
    }
    // Every byte is compared, whatever the first differing one: the time taken tells nothing.
    let differing = expected.iter().zip(shown.as_bytes().chunks(2)).fold(0, |differing, (byte, hex)| {
        let digits = std::str::from_utf8(hex).ok().and_then(|h| u8::from_str_radix(h, 16).ok());
        differing | digits.map_or(0xff, |d| d ^ byte)
    });
    if differing != 0 {
        return Err(QrFault::Forged);
    }
    if (step - step_at(at)).abs() > 1 {
        return Err(QrFault::Stale);
    }
    Ok(QrToken { order_id, step })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r10_a_token_is_good_for_its_step_and_the_neighbours() {
        let secret = Secret::new(&[1; 32]);
        let at = Instant::from_secs(1_780_000_020);
        let token = qr_token(&secret, OrderId(42), at);
        let read = |token: &str, secs: i64| qr_read(&secret, token, Instant(at.0 + secs * 1_000_000)).map(|t| t.order_id.0);
        assert_eq!(read(&token, 0), Ok(42));
        assert_eq!(read(&token, 30), Ok(42));
        assert_eq!(read(&token, -30), Ok(42));
        assert_eq!(read(&token, 60), Err(QrFault::Stale));
        assert_eq!(read(&token, -60), Err(QrFault::Stale));
        assert_eq!(read(&token.replace("HX1.42.", "HX1.43."), 0), Err(QrFault::Forged));
        assert_eq!(qr_read(&Secret::new(&[2; 32]), &token, at), Err(QrFault::Forged));
        for bad in [
            "",
            "HX1",
            "HX1.42",
            "HX1.42.1.zz",
            "HX2.42.1.00",
            &format!("{token}.1"),
            &format!("{token}0"),
            "HX1.9223372036854775807.-9223372036854775808.00000000000000000000000000000000",
        ] {
            assert_eq!(read(bad, 0), Err(QrFault::Forged), "{bad}");
        }
    }
}
