//! Distances and cells on the earth (R16).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, ListBuilder, UInt64Array, UInt64Builder};
use arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::common::cast::{as_float64_array, as_int64_array, as_uint64_array};
use datafusion::logical_expr::ScalarUDF;
use h3o::{CellIndex, LatLng, Resolution};

use super::scalar_function;

/// The earth's mean radius in metres (IUGG R1).
const EARTH_RADIUS_M: f64 = 6_371_008.8;

pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![Haversine::udf(), H3Cell::udf(), H3Disk::udf()]
}

scalar_function! {
    /// `haversine_m(lat, lon, lat, lon)`: great-circle distance in metres.
    Haversine, "haversine_m",
    [DataType::Float64, DataType::Float64, DataType::Float64, DataType::Float64] -> DataType::Float64, haversine
}

scalar_function! {
    /// `h3_cell(lat, lon, resolution)`: the H3 cell of a point; null for a point that is none.
    H3Cell, "h3_cell", [DataType::Float64, DataType::Float64, DataType::Int64] -> DataType::UInt64, cell
}

scalar_function! {
    /// `h3_disk(cell, k)`: the cells within `k` steps, the cell itself included.
    H3Disk, "h3_disk", [DataType::UInt64, DataType::Int64] -> disk_type(), disk
}

fn disk_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::UInt64, true)))
}

/// Metres between two points, by the haversine formula.
pub(crate) fn distance_m(lat1: f64, lon1: f64, lat2: f64, lon2: f64) -> f64 {
    let (p1, p2) = (lat1.to_radians(), lat2.to_radians());
    let h = ((p2 - p1) / 2.0).sin().powi(2) + p1.cos() * p2.cos() * ((lon2 - lon1).to_radians() / 2.0).sin().powi(2);
    2.0 * EARTH_RADIUS_M * h.sqrt().min(1.0).asin()
}

fn haversine(args: &[ArrayRef]) -> Result<ArrayRef> {
    let [lat1, lon1, lat2, lon2] = [0, 1, 2, 3].map(|i| as_float64_array(&args[i]));
    let (lat1, lon1, lat2, lon2) = (lat1?, lon1?, lat2?, lon2?);
    let at = |a: &Float64Array, i: usize| a.is_valid(i).then(|| a.value(i));
    let metres = (0..lat1.len())
        .map(|i| Some(distance_m(at(lat1, i)?, at(lon1, i)?, at(lat2, i)?, at(lon2, i)?)))
        .collect::<Float64Array>();
    Ok(Arc::new(metres))
}

fn cell(args: &[ArrayRef]) -> Result<ArrayRef> {
    let (lat, lon, resolution) = (as_float64_array(&args[0])?, as_float64_array(&args[1])?, as_int64_array(&args[2])?);
    let of_row = |i: usize| -> Option<u64> {
        if lat.is_null(i) || lon.is_null(i) || resolution.is_null(i) {
            return None;
        }
        let resolution = Resolution::try_from(u8::try_from(resolution.value(i)).ok()?).ok()?;
        Some(u64::from(LatLng::new(lat.value(i), lon.value(i)).ok()?.to_cell(resolution)))
    };
    Ok(Arc::new((0..lat.len()).map(of_row).collect::<UInt64Array>()))
}

fn disk(args: &[ArrayRef]) -> Result<ArrayRef> {
    /// A disk of k = 100 has 30,301 cells; more is a mistake.
    const STEPS_LIMIT: i64 = 100;
    let (cells, steps) = (as_uint64_array(&args[0])?, as_int64_array(&args[1])?);
    let mut disks = ListBuilder::new(UInt64Builder::with_capacity(cells.len() * 7));
    for i in 0..cells.len() {
        let known = cells.is_valid(i) && steps.is_valid(i) && (0..=STEPS_LIMIT).contains(&steps.value(i));
        match CellIndex::try_from(cells.value(i)) {
            Ok(cell) if known => {
                cell.grid_disk::<Vec<_>>(steps.value(i) as u32)
                    .into_iter()
                    .for_each(|c| disks.values().append_value(u64::from(c)));
                disks.append(true);
            }
            _ => disks.append(false),
        }
    }
    Ok(Arc::new(disks.finish()))
}

#[cfg(test)]
mod tests {
    use super::distance_m;

    #[test]
    fn r16_distances_are_great_circles() {
        // One degree of a great circle is 6371008.8 × π / 180 = 111,195.08 m.
        assert!((distance_m(0.0, 0.0, 0.0, 1.0) - 111_195.08).abs() < 0.01);
        assert!((distance_m(0.0, 179.5, 0.0, -179.5) - 111_195.08).abs() < 0.01);
        assert!((distance_m(0.0, 0.0, 0.0, 180.0) - 180.0 * 111_195.079_7).abs() < 1.0);
        assert_eq!(distance_m(31.2, 121.5, 31.2, 121.5), 0.0);
    }
}
