//! `nearest_rank(value, q)`: the exact order statistic `ceil(q·n)` of the values of a group, an observed value always.
//!
//! The engine's own percentile interpolates and truncates (0, 10, …, 70 at 0.9 gives 62.99999).

use std::mem::size_of_val;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// The aggregate.
pub(super) fn function() -> AggregateUDF {
    AggregateUDF::from(NearestRank(Signature::exact(vec![DataType::Float64, DataType::Float64], Volatility::Immutable)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NearestRank(Signature);

impl AggregateUDFImpl for NearestRank {
    fn name(&self) -> &str {
        "nearest_rank"
    }
    fn signature(&self) -> &Signature {
        &self.0
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }
    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let values = DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)));
        Ok(vec![
            Arc::new(Field::new(format!("{}[values]", args.name), values, true)),
            Arc::new(Field::new(format!("{}[q]", args.name), DataType::Float64, true)),
        ])
    }
    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Values::default()))
    }
}

#[derive(Debug, Default)]
struct Values {
    values: Vec<f64>,
    q: Option<f64>,
}

impl Values {
    fn take(&mut self, values: &Float64Array, q: &Float64Array) {
        self.values.extend(values.iter().flatten());
        self.q = self.q.or_else(|| q.iter().flatten().next());
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.take(values[0].as_primitive::<Float64Type>(), values[1].as_primitive::<Float64Type>());
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(lists) = states[0].as_list_opt::<i32>() else { return internal_err!("nearest_rank keeps a list") };
        let q = states[1].as_primitive::<Float64Type>();
        for i in (0..lists.len()).filter(|i| lists.is_valid(*i)) {
            self.take(lists.value(i).as_primitive::<Float64Type>(), q);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = Arc::new(Float64Array::from(std::mem::take(&mut self.values)));
        let offsets = OffsetBuffer::from_lengths([values.len()]);
        let list = ListArray::try_new(Arc::new(Field::new_list_field(DataType::Float64, true)), offsets, values, None)?;
        Ok(vec![ScalarValue::List(Arc::new(list)), ScalarValue::Float64(self.q)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.q.and_then(|q| rank(&mut self.values, q))))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<f64>()
    }
}

/// The `ceil(q·n)`th smallest value, at least the first and at most the last.
fn rank(values: &mut [f64], q: f64) -> Option<f64> {
    // 0.1 × 30 is 3.0000000000000004 in floating point: the rank is 3.
    let k = (q * values.len() as f64 - 1e-9).ceil().max(1.0) as usize;
    let k = k.min(values.len()).checked_sub(1)?;
    Some(*values.select_nth_unstable_by(k, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn the_rank_is_an_observed_value() {
        let mut tens: Vec<f64> = (0..8).map(|i| f64::from(i) * 10.0).collect();
        assert_eq!(rank(&mut tens, 0.9), Some(70.0));
        assert_eq!(rank(&mut tens, 0.5), Some(30.0));
        assert_eq!(rank(&mut tens, 0.0), Some(0.0));
        assert_eq!(rank(&mut tens, 1.0), Some(70.0));
        assert_eq!(rank(&mut [], 0.5), None);
        let mut thirty: Vec<f64> = (1..=30).map(f64::from).collect();
        assert_eq!(rank(&mut thirty, 0.1), Some(3.0));
    }
}
