//! Functions the reports need and SQL lacks: distances on the earth, H3 cells, store-local days, hours as bits, exact
//! percentiles, tail probabilities, spans of days, greedy cover, bytes as text.

mod bytes;
mod chance;
mod geo;
mod greedy_cover;
mod local_time;
mod nearest_rank;
mod spans;

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{AggregateUDF, ColumnarValue, ScalarUDF};

/// Every scalar function.
pub(crate) fn scalars() -> Vec<Arc<ScalarUDF>> {
    let mut all = geo::functions();
    all.extend(local_time::functions());
    all.extend(bytes::functions());
    all.extend(chance::functions());
    all.into_iter().map(Arc::new).collect()
}

/// Every aggregate.
pub(crate) fn aggregates() -> Vec<Arc<AggregateUDF>> {
    let mut all = spans::functions();
    all.push(nearest_rank::function());
    all.push(greedy_cover::function());
    all.into_iter().map(Arc::new).collect()
}

/// The result of a function whose arguments were made arrays: a scalar again if all of them were, so that it can be folded.
fn same_shape(arguments: &[ColumnarValue], result: ArrayRef) -> Result<ColumnarValue> {
    match arguments.iter().all(|a| matches!(a, ColumnarValue::Scalar(_))) {
        true if result.len() == 1 => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)),
        _ => Ok(ColumnarValue::Array(result)),
    }
}

/// Declares a scalar function: its name, the types it takes, the type it gives, and the function over arrays.
macro_rules! scalar_function {
    ($(#[doc = $doc:literal])+ $name:ident, $sql:literal, [$($arg:expr),*] -> $result:expr, $body:path) => {
        $(#[doc = $doc])+
        #[derive(Debug, PartialEq, Eq, Hash)]
        struct $name(datafusion::logical_expr::Signature);

        impl $name {
            fn udf() -> datafusion::logical_expr::ScalarUDF {
                use datafusion::logical_expr::{ScalarUDF, Signature, Volatility};
                ScalarUDF::from($name(Signature::any([$($arg),*].len(), Volatility::Immutable)))
            }
        }

        impl datafusion::logical_expr::ScalarUDFImpl for $name {
            fn name(&self) -> &str {
                $sql
            }
            fn signature(&self) -> &datafusion::logical_expr::Signature {
                &self.0
            }
            fn return_type(&self, _: &[arrow::datatypes::DataType]) -> datafusion::common::Result<arrow::datatypes::DataType> {
                Ok($result)
            }
            fn invoke_with_args(
                &self,
                args: datafusion::logical_expr::ScalarFunctionArgs,
            ) -> datafusion::common::Result<datafusion::logical_expr::ColumnarValue> {
                let mut arrays = datafusion::logical_expr::ColumnarValue::values_to_arrays(&args.args)?;
                for (array, wanted) in arrays.iter_mut().zip([$($arg),*]) {
                    if *array.data_type() != wanted {
                        *array = arrow::compute::cast(array, &wanted)?;
                    }
                }
                crate::udf::same_shape(&args.args, $body(&arrays)?)
            }
        }
    };
}
use scalar_function;
