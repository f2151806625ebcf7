//! What a unit is worth (R9): fen split by ordinal and over packages, to the last fen.

use serde::{Deserialize, Serialize};

use crate::ProductType;

/// An amount of money in fen and the parts of it that were not paid now: drawn from stored value (principal, bonus), paid
/// with points, covered by a coupon. What the parts leave of `paid_fen` is cash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Payment {
    /// The whole amount.
    pub paid_fen: i64,
    /// Part drawn from the principal of stored value.
    pub principal_fen: i64,
    /// Part drawn from its bonus.
    pub bonus_fen: i64,
    /// Part paid with points.
    pub points_fen: i64,
    /// Part covered by a coupon.
    pub coupon_fen: i64,
}

/// Why amounts are no payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPayment {
    /// An amount below zero.
    #[error("an amount is below zero")]
    Negative,
    /// More in parts than was paid.
    #[error("the parts sum to {parts_fen} fen, more than the {paid_fen} paid")]
    PartsExceedPaid {
        /// Sum of the parts.
        parts_fen: i64,
        /// The whole amount.
        paid_fen: i64,
    },
}

impl Payment {
    /// All cash.
    pub fn cash(paid_fen: i64) -> Self {
        Payment { paid_fen, ..Payment::default() }
    }

    /// Whether the amounts can be a payment: nothing negative, the parts within the whole.
    pub fn check(&self) -> Result<(), BadPayment> {
        let amounts = [self.paid_fen, self.principal_fen, self.bonus_fen, self.points_fen, self.coupon_fen];
        if amounts.iter().any(|a| *a < 0) {
            return Err(BadPayment::Negative);
        }
        let parts_fen = amounts[1..].iter().fold(0i64, |sum, a| sum.saturating_add(*a));
        if parts_fen > self.paid_fen {
            return Err(BadPayment::PartsExceedPaid { parts_fen, paid_fen: self.paid_fen });
        }
        Ok(())
    }

    /// Whether the amounts can be the payment for a product of this type. On a sale of stored value the bonus is what is
    /// given on top, no part of what is paid.
    pub fn check_for(&self, product_type: ProductType) -> Result<(), BadPayment> {
        match product_type {
            ProductType::StoredValue if self.bonus_fen >= 0 => Payment { bonus_fen: 0, ..*self }.check(),
            _ => self.check(),
        }
    }

    /// Cash first, then the parts: the order in which odd fen are dealt.
    fn pools(&self) -> [i64; 5] {
        let cash = self.paid_fen - self.principal_fen - self.bonus_fen - self.points_fen - self.coupon_fen;
        [cash, self.principal_fen, self.bonus_fen, self.points_fen, self.coupon_fen]
    }

    fn from_pools([cash, principal_fen, bonus_fen, points_fen, coupon_fen]: [i64; 5]) -> Self {
        let paid_fen = cash + principal_fen + bonus_fen + points_fen + coupon_fen;
        Payment { paid_fen, principal_fen, bonus_fen, points_fen, coupon_fen }
    }

    /// The value of unit `ordinal` (from 1) of `total` (R9): `floor(paid / total)`, the last unit takes the remainder. Each
    /// part gives every unit its own floor too. Where the parts' floors fall short of the whole's by `d` fen, those are
    /// dealt from what the parts have left over, cash first, `d` per ordinal: so every part sums over the units to itself,
    /// every unit's parts to its value, and nothing is negative.
    ///
    /// The payment must pass [`Payment::check`]; no such ordinal is worth nothing.
    pub fn of_unit(&self, ordinal: i32, total: i32) -> Payment {
        if ordinal < 1 || ordinal > total {
            return Payment::default();
        }
        let (n, k) = (i64::from(total), i64::from(ordinal));
        let pools = self.pools();
        let short = self.paid_fen / n - pools.iter().map(|p| p / n).sum::<i64>();
        // This unit's stretch of the left-over fen, laid end to end in the order of the pools.
        let from = (k - 1) * short;
        let to = if ordinal == total { i64::MAX } else { k * short };
        let mut at = 0;
        Payment::from_pools(pools.map(|pool| {
            let end = at + pool % n;
            let dealt = (end.min(to) - at.max(from)).max(0);
            at = end;
            pool / n + dealt
        }))
    }
}

/// Splits `amount` in proportion to `weights` by largest remainder (R9): floors first, then one fen each to the largest
/// remainders, the earlier of equals first. Without any weight all count alike. Nothing for no weights.
pub fn split_pro_rata(amount: i64, weights: &[i64]) -> Vec<i64> {
    if weights.is_empty() {
        return Vec::new();
    }
    let weights: Vec<i128> = weights.iter().map(|w| i128::from((*w).max(0))).collect();
    let sum: i128 = weights.iter().sum();
    let weights = if sum == 0 { vec![1; weights.len()] } else { weights };
    let sum: i128 = weights.iter().sum();
    let exact = |w: &i128| i128::from(amount) * w;
    let mut shares: Vec<i64> = weights.iter().map(|w| exact(w).div_euclid(sum) as i64).collect();
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by_key(|i| (-exact(&weights[*i]).rem_euclid(sum), *i));
    let left = amount - shares.iter().sum::<i64>();
    for i in by_remainder.into_iter().take(left as usize) {
        shares[i] += 1;
    }
    shares
}

/// Splits what was paid for a package over its lines, pro rata to their list prices (R9). Each part is split in proportion
/// to what is left of the lines' amounts, so that no line gets more in parts than in all; every column sums exactly.
pub fn split_package(payment: Payment, list_prices_fen: &[i64]) -> Vec<Payment> {
    let paid = split_pro_rata(payment.paid_fen, list_prices_fen);
    let mut left = paid.clone();
    let mut deal = |part: i64| -> Vec<i64> {
        if part == 0 {
            return vec![0; left.len()];
        }
        let shares = split_pro_rata(part, &left);
        left.iter_mut().zip(&shares).for_each(|(rest, share)| *rest -= share);
        shares
    };
    let (principal, bonus) = (deal(payment.principal_fen), deal(payment.bonus_fen));
    let (points, coupon) = (deal(payment.points_fen), deal(payment.coupon_fen));
    (0..paid.len())
        .map(|i| Payment {
            paid_fen: paid[i],
            principal_fen: principal[i],
            bonus_fen: bonus[i],
            points_fen: points[i],
            coupon_fen: coupon[i],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn check(payment: Payment, total: i32, expect: Expect) {
        let unit = |k| {
            let p = payment.of_unit(k, total);
            format!("{} ({} {} {} {})", p.paid_fen, p.principal_fen, p.bonus_fen, p.points_fen, p.coupon_fen)
        };
        expect.assert_eq(&(1..=total).map(unit).collect::<Vec<_>>().join(", "));
    }

    #[test]
    fn r9_the_last_ordinal_takes_the_remainder() {
        check(Payment::cash(1000), 3, expect!["333 (0 0 0 0), 333 (0 0 0 0), 334 (0 0 0 0)"]);
        check(Payment::cash(2), 3, expect!["0 (0 0 0 0), 0 (0 0 0 0), 2 (0 0 0 0)"]);
        check(
            Payment { paid_fen: 1000, principal_fen: 900, bonus_fen: 100, ..Default::default() },
            3,
            expect!["333 (300 33 0 0), 333 (300 33 0 0), 334 (300 34 0 0)"],
        );
        check(
            Payment { paid_fen: 1000, bonus_fen: 500, ..Default::default() },
            3,
            expect!["333 (0 166 0 0), 333 (0 166 0 0), 334 (0 168 0 0)"],
        );
        // Two parts of one fen each: neither may be counted twice, none may be missing.
        check(
            Payment { paid_fen: 2, principal_fen: 1, bonus_fen: 1, ..Default::default() },
            2,
            expect!["1 (1 0 0 0), 1 (0 1 0 0)"],
        );
        assert_eq!(Payment::cash(100).of_unit(0, 3), Payment::default());
        let with_bonus = Payment { paid_fen: 1000, bonus_fen: 2000, ..Default::default() };
        assert!(with_bonus.check_for(ProductType::StoredValue).is_ok() && with_bonus.check_for(ProductType::Card).is_err());
        assert_eq!(Payment::cash(100).of_unit(4, 3), Payment::default());
    }

    #[test]
    fn r9_packages_go_by_largest_remainder() {
        assert_eq!(split_pro_rata(100, &[1, 1, 1]), [34, 33, 33]);
        assert_eq!(split_pro_rata(10, &[50, 30, 21]), [5, 3, 2]);
        assert_eq!(split_pro_rata(7, &[0, 0]), [4, 3]);
        assert_eq!(split_pro_rata(19900, &[12800, 9900, 6800]), [8635, 6678, 4587]);
        assert_eq!(split_pro_rata(5, &[]), Vec::<i64>::new());
    }

    prop_compose! {
        fn payments()(parts in prop::array::uniform4(0i64..5_000), cash in 0i64..1_000_000) -> Payment {
            Payment::from_pools([cash, parts[0], parts[1], parts[2], parts[3]])
        }
    }

    fn columns(p: Payment) -> [i64; 6] {
        let pools = p.pools();
        [p.paid_fen, pools[0], pools[1], pools[2], pools[3], pools[4]]
    }

    proptest! {
        #[test]
        fn r9_units_sum_to_what_was_paid(payment in payments(), total in 1i32..200) {
            let units: Vec<Payment> = (1..=total).map(|k| payment.of_unit(k, total)).collect();
            for (column, whole) in columns(payment).into_iter().enumerate() {
                prop_assert_eq!(units.iter().map(|u| columns(*u)[column]).sum::<i64>(), whole);
            }
            for (i, unit) in units.iter().enumerate() {
                prop_assert!(unit.check().is_ok(), "{unit:?}");
                let floor = payment.paid_fen / i64::from(total);
                let last = payment.paid_fen - floor * i64::from(total - 1);
                prop_assert_eq!(unit.paid_fen, if i as i32 == total - 1 { last } else { floor });
            }
        }

        #[test]
        fn r9_packages_sum_to_what_was_paid(payment in payments(), prices in prop::collection::vec(0i64..100_000, 1..12)) {
            let lines = split_package(payment, &prices);
            for (column, whole) in columns(payment).into_iter().enumerate() {
                prop_assert_eq!(lines.iter().map(|l| columns(*l)[column]).sum::<i64>(), whole);
            }
            prop_assert!(lines.iter().all(|l| l.check().is_ok()));
            prop_assert_eq!(lines.iter().map(|l| l.paid_fen).collect::<Vec<_>>(), split_pro_rata(payment.paid_fen, &prices));
        }
    }
}
