//! Money of other systems, in fen.

use super::cell::Cell;

/// The unit a file has its money in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Money {
    /// Yuan, dollars: hundred of the minor unit.
    Major,
    /// Fen, cents.
    Minor,
}

/// A cell as fen; what is not whole fen is refused, not rounded away.
pub(crate) fn fen(cell: &Cell<'_>, unit: Money) -> Result<i64, String> {
    match (unit, cell) {
        (Money::Minor, cell) => cell.whole(),
        (Money::Major, Cell::Int(n)) => n.checked_mul(100).ok_or_else(|| format!("`{n}` is too much money")),
        (Money::Major, Cell::Float(x)) => {
            let fen = (x * 100.0).round();
            // A float next to 10^11 yuan still tells a hundredth of a fen.
            if x.is_finite() && fen.abs() < 1e13 && (x * 100.0 - fen).abs() < 0.01 {
                Ok(fen as i64)
            } else {
                Err(format!("`{x}` is no amount in whole hundredths"))
            }
        }
        (Money::Major, cell) => decimal(&cell.clone().text()),
    }
}

/// Reads `-12`, `12.5`, `12.50`, `12.5000`, exactly.
fn decimal(text: &str) -> Result<i64, String> {
    let wrong = || format!("`{text}` is no amount in whole hundredths");
    let trimmed = text.trim();
    let (negative, digits) = match trimmed.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (cents, rest) = fraction.split_at_checked(2).unwrap_or((fraction, ""));
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || rest.bytes().any(|b| b != b'0') {
        return Err(wrong());
    }
    let cents: i64 = format!("{cents:0<2}").parse().map_err(|_| wrong())?;
    let whole: i64 = whole.parse().map_err(|_| wrong())?;
    let fen = whole.checked_mul(100).and_then(|fen| fen.checked_add(cents)).ok_or_else(wrong)?;
    Ok(if negative { -fen } else { fen })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let read = fen(&Cell::Text(text.into()), Money::Major);
        assert_eq!(read.map_or_else(|e| e, |fen| fen.to_string()), expected);
    }

    #[test]
    fn amounts_are_read_to_the_fen_or_refused() {
        check("12", "1200");
        check(" 0.5", "50");
        check("-3.07", "-307");
        check("3.070", "307");
        check("3.075", "`3.075` is no amount in whole hundredths");
        check("1,200.00", "`1,200.00` is no amount in whole hundredths");
        check("", "`` is no amount in whole hundredths");
        check(".5", "`.5` is no amount in whole hundredths");
        assert_eq!(fen(&Cell::Float(1.15), Money::Major), Ok(115));
        assert_eq!(fen(&Cell::Float(840.0), Money::Major), Ok(84_000));
        assert!(fen(&Cell::Float(1.155), Money::Major).is_err());
        assert_eq!(fen(&Cell::Int(7), Money::Minor), Ok(7));
    }
}
