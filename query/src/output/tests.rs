use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use expect_test::expect;

use super::*;
use crate::answer::{Answer, Presentation};
use crate::view::Freshness;

fn answer(rows: usize) -> Answer {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("store", Arc::new(StringViewArray::from(vec![Some("旗舰店"), Some("=1+1, \"x\""), None]))),
        ("member_id", Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None, Some(-7)]))),
        ("value_fen", Arc::new(Int64Array::from(vec![Some(123_456), Some(-5), None]))),
        ("mean_fen", Arc::new(Float64Array::from(vec![Some(99.5), Some(0.25), None]))),
        ("share", Arc::new(Float64Array::from(vec![Some(0.25), Some(f64::NAN), None]))),
        ("on", Arc::new(Date32Array::from(vec![Some(20_000), None, None]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(1_700_000_000_000_001), None, None]).with_timezone("UTC"))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap().slice(0, rows);
    let freshness = Freshness {
        as_of: Some(event::Instant(1_700_000_000_000_000)),
        lake_versions: [("orders", 3)].into(),
        log_position: [(eventlog::Partition::WHOLE, 17)].into(),
        tail_rows: 1,
    };
    let presentation = Presentation {
        name: "r".to_owned(),
        title: "Report <r>".to_owned(),
        parameters: vec![("store".to_owned(), "<b>&".to_owned())],
        additive: vec!["value_fen".to_owned()],
        headings: [("share".to_owned(), "estimate".to_owned())].into(),
        zone: chrono_tz::Tz::Asia__Shanghai,
        ..Presentation::default()
    };
    Answer { schema: batch.schema(), freshness, about: None, presentation, rows: Box::pin(futures::stream::iter([Ok(batch)])) }
}

async fn encoded(rows: usize, format: Format) -> Vec<u8> {
    let mut out = Vec::new();
    write(answer(rows), format, &mut out).await.unwrap();
    out
}

async fn text(rows: usize, format: Format) -> String {
    String::from_utf8(encoded(rows, format).await).unwrap().replace('\r', "")
}

#[tokio::test]
async fn r23_tables_show_yuan_and_totals() {
    let table = text(3, Format::Table).await;
    assert!(table.contains("1234.56") && table.contains("1234.51") && table.ends_with("3 rows\n"), "{table}");
    let heading = table.lines().next().unwrap_or_default();
    assert!(heading.contains("Estimate") && heading.contains("Value, yuan"), "{table}");
    let mut chinese = Vec::new();
    write(answer(3).in_language(Language::Chinese), Format::Table, &mut chinese).await.unwrap();
    let chinese = String::from_utf8(chinese).unwrap();
    assert!(chinese.contains("金额（元）") && chinese.contains("合计") && chinese.ends_with("3 行\n"), "{chinese}");
    assert!(!text(1, Format::Table).await.contains("total"), "one row is its own total");
}

#[tokio::test]
async fn r23_csv_is_yuan_and_runs_nothing() {
    expect![[r#"
        store,member_id,value_yuan,mean_yuan,share,on,at
        旗舰店,"9007199254740993",1234.56,1.00,0.25,2024-10-04,2023-11-14T22:13:20.000001Z
        "'=1+1, ""x""",,-0.05,0.00,NaN,,
        ,"-7",,,,,
    "#]]
    .assert_eq(&text(3, Format::Csv).await);
    assert!(text(0, Format::CsvWithBom).await.starts_with("\u{feff}store,"));
}

#[tokio::test]
async fn r23_json_has_the_envelope_fen_and_ids_as_text() {
    expect![[r#"
        {"as_of":"2023-11-14T22:13:20Z","lake_versions":{"orders":3},"log_position":{"0":17},"tail_rows":1,"columns":[{"name":"store","type":"text"},{"name":"member_id","type":"id"},{"name":"value_fen","type":"fen"},{"name":"mean_fen","type":"number"},{"name":"share","type":"number"},{"name":"on","type":"day"},{"name":"at","type":"instant"}],"rows":[
        {"store":"旗舰店","member_id":"9007199254740993","value_fen":123456,"mean_fen":99.5,"share":0.25,"on":"2024-10-04","at":"2023-11-14T22:13:20.000001Z"},
        {"store":"=1+1, \"x\"","member_id":null,"value_fen":-5,"mean_fen":0.25,"share":null,"on":null,"at":null},
        {"store":null,"member_id":"-7","value_fen":null,"mean_fen":null,"share":null,"on":null,"at":null}
        ]}
    "#]]
    .assert_eq(&text(3, Format::Json).await);
    let empty: serde_json::Value = serde_json::from_str(&text(0, Format::Json).await).unwrap();
    assert_eq!(empty["rows"].as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn r23_ndjson_is_the_rows_alone() {
    expect![[r#"
        {"store":"旗舰店","member_id":"9007199254740993","value_fen":123456,"mean_fen":99.5,"share":0.25,"on":"2024-10-04","at":"2023-11-14T22:13:20.000001Z"}
        {"store":"=1+1, \"x\"","member_id":null,"value_fen":-5,"mean_fen":0.25,"share":null,"on":null,"at":null}
    "#]]
    .assert_eq(&text(2, Format::Ndjson).await);
    assert_eq!(text(0, Format::Ndjson).await, "");
}

#[tokio::test]
async fn r23_pages_escape_all_text_and_say_what_they_are() {
    let page = text(3, Format::Html).await;
    for part in [
        "<h1>Report &lt;r&gt;</h1>",
        "store &lt;b&gt;&amp;",
        "<td class=\"t\">=1+1, &quot;x&quot;</td>",
        "<td class=\"n\">1234.51</td>",
        ">at, Asia/Shanghai</th>",
        "<td>2023-11-15 06:13:20</td>",
        "<dd>orders@3</dd>",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("<b>") && !page.contains("http"), "nothing of the data is markup, nothing is fetched: {page}");
}

#[tokio::test]
async fn an_answer_without_a_chart_has_no_svg() {
    let refused = write(answer(1), Format::Svg, &mut Vec::new()).await.unwrap_err();
    expect!["`r` has no chart, so there is no SVG of it; a report's header says `Chart: …` if it has one"]
        .assert_eq(&refused.to_string());
    assert_eq!(refused.kind(), crate::ErrorKind::NotAcceptable);
}

#[tokio::test]
async fn a_workbook_takes_what_a_sheet_has_rows_for() {
    let one = RecordBatch::try_from_iter(vec![("n", Arc::new(Int64Array::from(vec![1; 1 << 18])) as ArrayRef)]).unwrap();
    let of = |batches: usize| Answer {
        schema: one.schema(),
        rows: Box::pin(futures::stream::iter((0..batches).map(|_| Ok(one.clone())).collect::<Vec<_>>())),
        ..answer(0)
    };
    let refused = write(of(4), Format::Xlsx, &mut Vec::new()).await.unwrap_err();
    expect!["the answer has more than 1048574 rows, the most that xlsx takes; aggregate, ask for less, or take another format"]
        .assert_eq(&refused.to_string());
    let mut page = Vec::new();
    assert!(write(of(1), Format::Html, &mut page).await.is_err() && page.is_empty());
}

#[tokio::test]
async fn the_same_answer_is_the_same_workbook() {
    let book = encoded(3, Format::Xlsx).await;
    assert_eq!(&book[..4], b"PK\x03\x04");
    assert_eq!(book, encoded(3, Format::Xlsx).await);
}

#[test]
fn money_of_decimals_is_rounded_to_the_fen() {
    let fen = |values: &[i128], scale: i8| -> Vec<String> {
        let array = arrow::array::Decimal128Array::from(values.to_vec()).with_precision_and_scale(20, scale).unwrap();
        let array: ArrayRef = Arc::new(array);
        (0..values.len()).map(|row| cells::yuan(cells::fen(&array, row).unwrap())).collect()
    };
    assert_eq!(fen(&[12_345, -5], 0), ["123.45", "-0.05"]);
    assert_eq!(fen(&[15, -15, 14, -14], 1), ["0.02", "-0.02", "0.01", "-0.01"]);
}

#[tokio::test]
async fn arrow_and_parquet_read_back() {
    let stream = encoded(3, Format::Arrow).await;
    let batches: Vec<_> =
        arrow::ipc::reader::StreamReader::try_new(stream.as_slice(), None).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(batches[0].num_rows(), 3);
    assert_eq!(batches[0].schema().field(0).data_type(), &arrow::datatypes::DataType::Utf8);
    let file = Bytes::from(encoded(3, Format::Parquet).await);
    let mut reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 1024).unwrap();
    assert_eq!(reader.next().unwrap().unwrap(), batches[0]);
}
