//! Answers in the formats that people open: a workbook in two programs, pages and charts in a browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use expect_test::expect;
use serde_json::Value;

use crate::support;

/// A folder with a little history, and reports that ask for charts and sheets.
struct Shop {
    folder: tempfile::TempDir,
}

/// Cells of every kind, and text that a spreadsheet or a browser must not take for more than text.
const CELLS: &str = "SELECT * FROM (VALUES \
    ('旗舰店', 9007199254740993, 123456, 7, 0.25, DATE '2026-02-28', TIMESTAMP '2026-02-28T16:30:00Z', true), \
    ('=HYPERLINK(\"http://x\")', -7, -5, 576495936675512319, 1.5, DATE '1899-12-31', NULL, false), \
    ('<script>document.title=\"run\"</script><img src=x onerror=alert(1)>', NULL, NULL, NULL, NULL, NULL, NULL, NULL), \
    ('+1\n\t\"quoted\", comma', 1, 999999999999999999, 0, -0.1, NULL, NULL, NULL)) \
    AS t(name, member_id, value_fen, units, share, paid_on, paid_at, open)";

/// Reports for the tests: the header's `Chart` and `Sheet` lines are what is tried.
const REPORTS: [(&str, &str, &str); 5] = [
    ("cells", "Additive: value_fen, units, share\n-- Heading share: share <of> all", CELLS),
    ("bars", "Chart: bars name value_fen", CELLS),
    (
        "week",
        "Chart: heat weekday hour technicians by store_name\n-- Sheet: store_name weekday hour technicians by skill\n-- Additive: technicians",
        "SELECT s.store_name, k.skill, d.weekday, h.hour, CASE WHEN h.hour = 20 THEN NULL ELSE (d.weekday * 3 + h.hour) % 5 END AS technicians \
         FROM (VALUES ('静安店'), ('浦东店'), ('徐汇 & <店>')) AS s(store_name) \
         CROSS JOIN (VALUES ('护理'), ('美甲')) AS k(skill) \
         CROSS JOIN (SELECT unnest(generate_series(1, 7)) AS weekday) AS d \
         CROSS JOIN (SELECT unnest(generate_series(10, 21)) AS hour) AS h \
         WHERE d.weekday <> 2 OR s.store_name <> '浦东店'",
    ),
    (
        "months",
        "Title zh: 预收款\n-- Chart: line month closing_fen by entity",
        "SELECT e.entity, m.month, CASE WHEN m.month = '2026-03' THEN NULL ELSE e.n * 100000 + date_part('month', CAST(m.month || '-01' AS DATE)) * 30000 END AS closing_fen \
         FROM (VALUES ('甲公司', 1), ('乙公司', 2), ('丙公司', 3)) AS e(entity, n) \
         CROSS JOIN (VALUES ('2025-11'), ('2025-12'), ('2026-01'), ('2026-02'), ('2026-03'), ('2026-04'), ('2026-05')) AS m(month)",
    ),
    (
        "cover",
        "Chart: hexagons cell members",
        "SELECT h3_cell(c.lat + a.i * 0.008, c.lon + b.i * 0.009, 8) AS cell, (a.i * a.i + 3 * b.i) % 17 AS members \
         FROM (VALUES (31.23, 121.47), (30.66, 104.06)) AS c(lat, lon) \
         CROSS JOIN (SELECT unnest(generate_series(0, 6)) AS i) AS a CROSS JOIN (SELECT unnest(generate_series(0, 6)) AS i) AS b",
    ),
];

impl Shop {
    fn new() -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let shop = Shop { folder };
        let samples = support::workspace().join("datasets/samples/import");
        support::hexiao(
            &shop.data(),
            &["import", "--map", samples.join("map.toml").to_str().unwrap(), samples.to_str().unwrap()],
            b"",
        )
        .expect_success();
        std::fs::create_dir_all(shop.path("sql/reports")).unwrap();
        for (name, header, sql) in REPORTS {
            let text = format!("-- {name}\n-- Title: The {name}\n-- Grain: row.\n-- {header}\n{sql}\n");
            std::fs::write(shop.path(&format!("sql/reports/{name}.sql")), text).unwrap();
        }
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Runs a report and keeps what it prints.
    fn report(&self, name: &str, format: &str, more: &[&str]) -> PathBuf {
        let sql = self.path("sql");
        let args = [&["report", name, "--format", format, "--sql", sql.to_str().unwrap()], more].concat();
        let said = support::hexiao(&self.data(), &args, b"").expect_success();
        let file = self.path(&format!("{name}.{format}"));
        std::fs::write(&file, said.bytes).unwrap();
        file
    }
}

/// Runs a browser without a window on a file; what it prints.
fn chromium(home: &Path, page: &Path, args: &[&str]) -> String {
    let mut command = Command::new("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]);
    command.arg(format!("--user-data-dir={}", home.join("chromium").display())).args(args);
    support::run(command.arg(format!("file://{}", page.display())), b"").expect_success().stdout
}

/// What openpyxl reads of both sheets: values with their types and formats, and what is frozen.
const OPENPYXL: &str = r#"
import json, sys
from openpyxl import load_workbook
book, kept = load_workbook(sys.argv[1]), load_workbook(sys.argv[1], data_only=True)
rows, about = book.worksheets
cell = lambda c: [c.data_type, c.value if isinstance(c.value, (int, float, bool, type(None))) else str(c.value), c.number_format]
print(json.dumps({
    "sheets": book.sheetnames, "frozen": rows.freeze_panes, "filter": rows.auto_filter.ref,
    "widths": [rows.column_dimensions[c.column_letter].width for c in rows[1]],
    "rows": [[cell(c) for c in row] for row in rows.iter_rows()],
    "totals": [c.value for c in kept.worksheets[0][rows.max_row]],
    "about": {row[0].value: row[1].value for row in about.iter_rows()},
}, ensure_ascii=False))
"#;

#[test]
fn a_workbook_opens_typed_in_openpyxl_and_libreoffice() {
    let shop = Shop::new();
    let book = shop.report("cells", "xlsx", &[]);
    let said = support::run(Command::new(support::python()).args(["-c", OPENPYXL]).arg(&book), b"").expect_success();
    let read: Value = serde_json::from_str(&said.stdout).unwrap();
    let rows: Vec<String> = read["rows"].as_array().unwrap().iter().map(|row| row.to_string()).collect();
    expect![[r##"
        [["s","Name","General"],["s","Member","General"],["s","Value, yuan","General"],["s","Units","General"],["s","Share <of> all","General"],["s","paid_on","General"],["s","paid_at, Asia/Shanghai","General"],["s","open","General"]]
        [["s","旗舰店","@"],["s","9007199254740993","@"],["n",1234.56,"#,##0.00"],["n",7,"0"],["n",0.25,"0.000"],["d","2026-02-28 00:00:00","yyyy-mm-dd"],["d","2026-03-01 00:30:00","yyyy-mm-dd hh:mm:ss"],["b",true,"General"]]
        [["s","=HYPERLINK(\"http://x\")","@"],["s","-7","@"],["n",-0.05,"#,##0.00"],["s","576495936675512319","0"],["n",1.5,"0.000"],["s","1899-12-31","yyyy-mm-dd"],["n",null,"General"],["b",false,"General"]]
        [["s","<script>document.title=\"run\"</script><img src=x onerror=alert(1)>","@"],["n",null,"General"],["n",null,"General"],["n",null,"General"],["n",null,"General"],["n",null,"General"],["n",null,"General"],["n",null,"General"]]
        [["s","+1\n\t\"quoted\", comma","@"],["s","1","@"],["s","9999999999999999.99","#,##0.00"],["n",0,"0"],["n",-0.1,"0.000"],["n",null,"General"],["n",null,"General"],["n",null,"General"]]
        [["s","total","@"],["n",null,"@"],["s","10000000000001234.50","#,##0.00"],["s","576495936675512326","0"],["f","=SUBTOTAL(109,E2:E5)","0.000"],["n",null,"yyyy-mm-dd"],["n",null,"yyyy-mm-dd hh:mm:ss"],["n",null,"General"]]"##]].assert_eq(&rows.join("\n"));
    expect![[r#"["Rows","About"] "A2" "A1:H5" ["total",null,"10000000000001234.50","576495936675512326",1.65,null,null,null]"#]]
        .assert_eq(&format!("{} {} {} {}", read["sheets"], read["frozen"], read["filter"], read["totals"]));
    let about = &read["about"];
    assert_eq!(
        (&about["Report"], &about["Time zone"], &about["Rows"]),
        (&"cells".into(), &"Asia/Shanghai".into(), &"4".into()),
        "{about}"
    );
    assert!(about["Lake versions"].as_str().is_some_and(|v| v.contains("redemptions@")) && about["As of"].is_string(), "{about}");

    let mut office = Command::new("soffice");
    office.arg(format!("-env:UserInstallation=file://{}", shop.path("office").display()));
    office.args([
        "--headless",
        "--convert-to",
        "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,1",
        "--outdir",
    ]);
    support::run(office.arg(shop.path("csv")).arg(&book), b"").expect_success();
    let csv = std::fs::read_dir(shop.path("csv")).unwrap().next().unwrap().unwrap().path();
    expect![[r#"
        Name,Member,"Value, yuan",Units,Share <of> all,paid_on,"paid_at, Asia/Shanghai",open
        旗舰店,9007199254740993,1234.56,7,0.25,2026-02-28,2026-03-01 00:30:00,TRUE
        "=HYPERLINK(""http://x"")",-7,-0.05,576495936675512319,1.5,1899-12-31,,FALSE
        "<script>document.title=""run""</script><img src=x onerror=alert(1)>",,,,,,,
        "+1
        	""quoted"", comma",1,9999999999999999.99,0,-0.1,,,
        total,,10000000000001234.50,576495936675512326,1.65,,,
    "#]]
    .assert_eq(&std::fs::read_to_string(csv).unwrap());
}

#[test]
fn pages_and_charts_show_in_a_browser_and_run_nothing() {
    let shop = Shop::new();
    for (name, format, more) in [
        ("cells", "html", &[][..]),
        ("bars", "html", &["--lang", "zh"]),
        ("bars", "svg", &[]),
        ("week", "svg", &["--lang", "zh"]),
        ("months", "svg", &["--lang", "zh"]),
        ("cover", "svg", &[]),
    ] {
        let page = shop.report(name, format, more);
        let shown = chromium(shop.folder.path(), &page, &["--dump-dom"]);
        let raw = std::fs::read_to_string(&page).unwrap();
        assert!(!shown.contains("parsererror") && !shown.contains("error on line"), "{name}.{format}: {shown}");
        assert!(
            !shown.contains("<title>run</title>") && !raw.contains("<script") && !raw.contains("<img"),
            "{name}.{format}: {shown}"
        );
        let picture = shop.path(&format!("{name}-{format}.png"));
        chromium(shop.folder.path(), &page, &[&format!("--screenshot={}", picture.display()), "--window-size=900,1000"]);
        assert!(std::fs::metadata(&picture).is_ok_and(|m| m.len() > 10_000), "{name}.{format} shows something");
        if let Some(keep) = std::env::var_os("HEXIAO_TEST_PICTURES") {
            std::fs::copy(&picture, Path::new(&keep).join(picture.file_name().unwrap())).unwrap();
        }
    }
}

#[test]
fn a_sheet_is_one_printed_page_a_store() {
    let shop = Shop::new();
    let page = shop.report("week", "html", &["--lang", "zh"]);
    let pdf = shop.path("week.pdf");
    chromium(shop.folder.path(), &page, &[&format!("--print-to-pdf={}", pdf.display()), "--no-pdf-header-footer"]);
    let bytes = std::fs::read(&pdf).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let pages = text.matches("/Type /Page\n").count();
    assert_eq!(pages, 3, "three stores");
    let a4 = text.matches("/MediaBox [0 0 594.95996 841.91998]").count();
    assert_eq!(a4, 3, "{:?}", text.find("/MediaBox").map(|at| &text[at..at + 60]));
    if let Some(keep) = std::env::var_os("HEXIAO_TEST_PICTURES") {
        std::fs::copy(&pdf, Path::new(&keep).join("week.pdf")).unwrap();
        chromium(
            shop.folder.path(),
            &page,
            &[&format!("--screenshot={}", Path::new(&keep).join("week-html.png").display()), "--window-size=900,1300"],
        );
    }
}

#[test]
fn the_doors_offer_the_same_formats() {
    let server = support::Server::start();
    let head = server.head_office();
    let ask = |accept: &str, language: &str| {
        head.get_with("/v1/reports/store_performance", &[("accept", accept), ("accept-language", language)])
    };
    let sheet = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    let book = ask(sheet, "").expect(200);
    assert_eq!((book.header("content-type"), &book.body[..2]), (sheet, &b"PK"[..]));
    assert_eq!(book.header("content-disposition"), "attachment; filename=\"store_performance.xlsx\"");
    let page = ask("text/html,application/xhtml+xml,*/*;q=0.8", "zh-CN,zh;q=0.9,en;q=0.8").expect(200);
    assert_eq!(page.header("content-security-policy"), "default-src 'none'; style-src 'unsafe-inline'");
    assert!(page.text().contains("<html lang=\"zh-CN\">") && page.text().contains("核销率"), "{}", page.text());
    assert!(ask("text/html", "fr, en;q=0.5").expect(200).text().contains("Units redeemed within the age / units sold"));
    assert_eq!(ask("application/x-ndjson", "").expect(200).text(), "");
    let none = head.get_with("/v1/reports/redemption_records", &[("accept", "image/svg+xml")]);
    expect!["406 not_acceptable: `redemption_records` has no chart, so there is no SVG of it; a report's header says `Chart: …` if it has one"]
        .assert_eq(&none.problem());
    let statement = serde_json::json!({ "sql": "SELECT unnest(generate_series(1, 1100000)) AS n" }).to_string();
    let much = head.send("POST", "/v1/sql", &[("accept", sheet)], Some(statement.as_bytes()));
    expect!["422 too_many_rows: the answer has more than 1048574 rows, the most that xlsx takes; aggregate, ask for less, or take another format"]
        .assert_eq(&much.problem());
}
