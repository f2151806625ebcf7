//! Bytes that strangers sent: how many, and how they begin. SQL's own casts fail on what is no UTF-8.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use super::scalar_function;

pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![ByteLength::udf(), ByteText::udf()]
}

scalar_function! {
    /// `byte_length(bytes)`: how many bytes there are.
    ByteLength, "byte_length", [DataType::BinaryView] -> DataType::Int64, byte_length
}

scalar_function! {
    /// `byte_text(bytes, characters)`: the first characters as text, with U+FFFD where the bytes are not UTF-8.
    ByteText, "byte_text", [DataType::BinaryView, DataType::Int64] -> DataType::Utf8View, byte_text
}

fn byte_length(args: &[ArrayRef]) -> Result<ArrayRef> {
    let lengths: Int64Array = args[0].as_binary_view().iter().map(|bytes| Some(bytes?.len() as i64)).collect();
    Ok(Arc::new(lengths))
}

fn byte_text(args: &[ArrayRef]) -> Result<ArrayRef> {
    let (all, characters) = (args[0].as_binary_view(), args[1].as_primitive::<Int64Type>());
    let text = |(bytes, characters): (Option<&[u8]>, Option<i64>)| {
        let (bytes, characters) = (bytes?, usize::try_from(characters?).unwrap_or(0));
        // No character has more than four bytes: what is cut here is never shown.
        let start = &bytes[..bytes.len().min(characters.saturating_mul(4))];
        Some(String::from_utf8_lossy(start).chars().take(characters).collect::<String>())
    };
    let texts: StringViewArray = all.iter().zip(characters.iter()).map(text).collect();
    Ok(Arc::new(texts))
}

#[cfg(test)]
mod tests {
    use arrow::array::BinaryViewArray;
    use expect_test::{Expect, expect};

    use super::*;

    fn check(bytes: &[u8], characters: i64, expect: Expect) {
        let args: [ArrayRef; 2] =
            [Arc::new(BinaryViewArray::from_iter_values([bytes])), Arc::new(Int64Array::from(vec![characters]))];
        let (length, text) = (byte_length(&args).unwrap(), byte_text(&args).unwrap());
        let length = length.as_primitive::<Int64Type>().value(0);
        expect.assert_eq(&format!("{length} bytes, {:?}", text.as_string_view().value(0)));
    }

    #[test]
    fn bytes_are_counted_and_shown_whatever_they_are() {
        check("核销 redeemed".as_bytes(), 4, expect![[r#"15 bytes, "核销 r""#]]);
        check(b"\xff\x00{}", 60, expect![[r#"4 bytes, "�\0{}""#]]);
        check(b"", 60, expect![[r#"0 bytes, """#]]);
        check(b"abc", -1, expect![[r#"3 bytes, """#]]);
        check("核核核".as_bytes(), 2, expect![[r#"9 bytes, "核核""#]]);
    }
}
