//! Exact tail probabilities (R17, R19): how likely a count is by chance alone.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use statrs::function::{beta::beta_reg, gamma::gamma_ur};

use super::scalar_function;

pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![PoissonAtMost::udf(), BinomialAtLeast::udf()]
}

scalar_function! {
    /// `poisson_at_most(k, mean)`: P(X ≤ k) of a Poisson count; null for a mean that is none.
    PoissonAtMost, "poisson_at_most", [DataType::Int64, DataType::Float64] -> DataType::Float64, poisson_at_most
}

scalar_function! {
    /// `binomial_at_least(k, n, p)`: P(X ≥ k) of n trials of chance p each; null where n or p is none.
    BinomialAtLeast, "binomial_at_least", [DataType::Int64, DataType::Int64, DataType::Float64] -> DataType::Float64, binomial_at_least
}

fn poisson_at_most(args: &[ArrayRef]) -> Result<ArrayRef> {
    let (k, mean) = (args[0].as_primitive::<Int64Type>(), args[1].as_primitive::<Float64Type>());
    let of_row = |i: usize| (k.is_valid(i) && mean.is_valid(i)).then(|| poisson(k.value(i), mean.value(i))).flatten();
    Ok(Arc::new((0..k.len()).map(of_row).collect::<Float64Array>()))
}

fn binomial_at_least(args: &[ArrayRef]) -> Result<ArrayRef> {
    let (k, n) = (args[0].as_primitive::<Int64Type>(), args[1].as_primitive::<Int64Type>());
    let p = args[2].as_primitive::<Float64Type>();
    let known = |i: usize| k.is_valid(i) && n.is_valid(i) && p.is_valid(i);
    let of_row = |i: usize| known(i).then(|| binomial(k.value(i), n.value(i), p.value(i))).flatten();
    Ok(Arc::new((0..k.len()).map(of_row).collect::<Float64Array>()))
}

/// The regularised upper incomplete gamma function: P(X ≤ k) = Q(k + 1, mean).
fn poisson(k: i64, mean: f64) -> Option<f64> {
    match mean {
        m if !m.is_finite() || m < 0.0 => None,
        _ if k < 0 => Some(0.0),
        0.0 => Some(1.0),
        _ => Some(gamma_ur(k as f64 + 1.0, mean)),
    }
}

/// The regularised incomplete beta function: P(X ≥ k) = I_p(k, n − k + 1).
fn binomial(k: i64, n: i64, p: f64) -> Option<f64> {
    match k {
        _ if n < 0 || !(0.0..=1.0).contains(&p) => None,
        k if k <= 0 => Some(1.0),
        k if k > n => Some(0.0),
        _ => Some(beta_reg(k as f64, (n - k) as f64 + 1.0, p)),
    }
}

#[cfg(test)]
mod tests {
    use super::{binomial, poisson};

    /// Against sums of the terms themselves.
    #[test]
    fn tails_are_sums_of_their_terms() {
        for mean in [0.3, 2.5, 40.0] {
            let (mut term, mut sum) = (f64::exp(-mean), 0.0);
            for k in 0..60 {
                sum += term;
                term *= mean / f64::from(k + 1);
                assert!((poisson(k.into(), mean).unwrap() - sum).abs() < 1e-12, "{k} {mean}");
            }
        }
        for (n, p) in [(1, 0.5), (7, 0.2), (50, 0.9)] {
            let mut term = (1.0_f64 - p).powi(n);
            let mut sum = 0.0;
            for k in 0..=n {
                assert!((binomial(k.into(), n.into(), p).unwrap() - (1.0 - sum)).abs() < 1e-12, "{k} {n} {p}");
                sum += term;
                term *= f64::from(n - k) / f64::from(k + 1) * p / (1.0 - p);
            }
        }
    }

    #[test]
    fn what_is_no_chance_has_no_answer() {
        assert_eq!(
            (poisson(-1, 2.0), poisson(3, 0.0), poisson(0, -1.0), poisson(0, f64::NAN)),
            (Some(0.0), Some(1.0), None, None)
        );
        assert_eq!((binomial(0, 0, 0.5), binomial(1, 0, 0.5), binomial(1, 2, 1.5)), (Some(1.0), Some(0.0), None));
        assert_eq!((binomial(2, 2, 1.0), binomial(1, 2, 0.0)), (Some(1.0), Some(0.0)));
    }
}
