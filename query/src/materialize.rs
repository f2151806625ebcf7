//! `WITH name AS MATERIALIZED (…)`: computed once, before the rest of the statement is planned.
//!
//! Without that word, which is PostgreSQL's, the engine plans a common table expression anew wherever it is named, and so what
//! that one names: a few of them named twice each become a plan of hundreds of nodes. Only those of the statement's own `WITH`
//! are computed apart; deeper ones are planned where they stand.

use std::borrow::Cow;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Cte, CteAsMaterialized, Query, Statement as Sql, With, visit_relations};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::{Result, guard};

/// The parser of the engine's dialect does not know the word: takes it out, blanks in its place so that errors still say where
/// they are, and returns the names it stood after.
pub(crate) fn take_words(sql: &str) -> (Cow<'_, str>, Vec<String>) {
    let mut names = Vec::new();
    // What can't be read is the parser's to complain about.
    let Ok(tokens) = Tokenizer::new(&GenericDialect, sql).tokenize_with_location() else { return (sql.into(), names) };
    let tokens: Vec<TokenWithSpan> = tokens.into_iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).collect();
    let keyword = |at: usize| match tokens.get(at).map(|t| &t.token) {
        Some(Token::Word(word)) => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let mut taken = Vec::new();
    for at in 1..tokens.len() {
        let not = usize::from(keyword(at + 1) == Keyword::NOT);
        let word = at + 1 + not;
        if keyword(at) == Keyword::AS
            && keyword(word) == Keyword::MATERIALIZED
            && tokens.get(word + 1).is_some_and(|t| t.token == Token::LParen)
        {
            taken.extend(tokens[at + 1..=word].iter().map(|t| t.span));
            if let (0, Token::Word(name)) = (not, &tokens[at - 1].token) {
                names.push(name.value.to_lowercase());
            }
        }
    }
    if taken.is_empty() {
        return (sql.into(), names);
    }
    // Spans count lines and characters from 1; their ends are exclusive.
    let blanked = sql.split_inclusive('\n').zip(1..).flat_map(|(line, row)| {
        let on_line: Vec<_> = taken.iter().filter(|span| span.start.line == row).collect();
        let inside = move |column: u64| on_line.iter().any(|s| (s.start.column..s.end.column).contains(&column));
        line.chars().zip(1..).map(move |(c, column)| if inside(column) { ' ' } else { c })
    });
    (blanked.collect::<String>().into(), names)
}

/// Marks the expressions of the statement's own `WITH` that have these names.
pub(crate) fn mark(statement: &mut Statement, names: &[String]) {
    for cte in with_clause(statement).into_iter().flat_map(|with| &mut with.cte_tables) {
        if names.contains(&cte.alias.name.value.to_lowercase()) {
            cte.materialized = Some(CteAsMaterialized::Materialized);
        }
    }
}

/// The statement's `WITH`, if it has one that is not recursive.
pub(crate) fn with_clause(statement: &mut Statement) -> Option<&mut With> {
    match statement {
        Statement::Statement(sql) => match sql.as_mut() {
            Sql::Query(query) => query.with.as_mut().filter(|with| !with.recursive),
            _ => None,
        },
        Statement::Explain(explain) => with_clause(&mut explain.statement),
        _ => None,
    }
}

/// Whether an expression is to be computed apart. One that renames its columns is not.
pub(crate) fn is_materialized(cte: &Cte) -> bool {
    cte.materialized == Some(CteAsMaterialized::Materialized) && cte.alias.columns.is_empty()
}

/// The expression at `at` as a statement of its own, with those before it that it names.
pub(crate) fn alone(with: &With, at: usize) -> Statement {
    let mut query = (*with.cte_tables[at].query).clone();
    let mut before: Vec<Cte> = Vec::new();
    let mut names = relations(&query);
    for cte in with.cte_tables[..at].iter().rev() {
        if names.contains(&cte.alias.name.value.to_lowercase()) {
            names.extend(relations(&cte.query));
            before.push(cte.clone());
        }
    }
    before.reverse();
    match &mut query.with {
        Some(own) => drop(own.cte_tables.splice(..0, before)),
        None if before.is_empty() => {}
        None => query.with = Some(With { with_token: with.with_token.clone(), recursive: false, cte_tables: before }),
    }
    Statement::Statement(Box::new(Sql::Query(Box::new(query))))
}

/// Lets the expression stand for `table`, an unquoted or quoted name as SQL has it.
pub(crate) fn stand_for(cte: &mut Cte, table: &str) -> Result<()> {
    if let Statement::Statement(sql) = guard::parse(&format!("SELECT * FROM {table}"))?
        && let Sql::Query(query) = *sql
    {
        cte.query = query;
    }
    Ok(())
}

/// The names of the tables that a query reads, in lower case, the last part of each.
fn relations(query: &Query) -> Vec<String> {
    let mut names = Vec::new();
    let _ = visit_relations(query, |name| {
        names.extend(name.0.last().map(|part| part.to_string().to_lowercase()));
        ControlFlow::<()>::Continue(())
    });
    names
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(sql: &str, expect: Expect) {
        let (plain, names) = take_words(sql);
        expect.assert_eq(&format!("{plain} {names:?}"));
    }

    #[test]
    fn the_word_is_taken_where_it_means_something() {
        check(
            "WITH 甲 AS MATERIALIZED (SELECT 1), b as\n materialized\n(SELECT 2) SELECT 3",
            expect![[r#"
                WITH 甲 AS              (SELECT 1), b as
                             
                (SELECT 2) SELECT 3 ["甲", "b"]"#]],
        );
        check("WITH a AS NOT MATERIALIZED (SELECT 1) SELECT 2", expect!["WITH a AS                  (SELECT 1) SELECT 2 []"]);
        check(
            "SELECT 'a AS MATERIALIZED (' AS materialized, 2 AS materialized -- AS MATERIALIZED (",
            expect!["SELECT 'a AS MATERIALIZED (' AS materialized, 2 AS materialized -- AS MATERIALIZED ( []"],
        );
        check("SELECT 'open", expect!["SELECT 'open []"]);
    }

    #[test]
    fn an_expression_alone_brings_those_it_names() {
        let sql =
            "WITH a AS (SELECT 1 AS x), b AS (SELECT 2 AS y), c AS MATERIALIZED (WITH d AS (SELECT * FROM a) SELECT * FROM d)
            SELECT * FROM c, b";
        let mut statement = guard::parse(sql).unwrap();
        let with = with_clause(&mut statement).unwrap();
        assert_eq!(with.cte_tables.iter().map(is_materialized).collect::<Vec<_>>(), [false, false, true]);
        let alone = alone(with, 2).to_string();
        expect!["WITH a AS (SELECT 1 AS x), d AS (SELECT * FROM a) SELECT * FROM d"].assert_eq(&alone);
        stand_for(&mut with.cte_tables[2], "kept.\"0\"").unwrap();
        assert!(statement.to_string().contains("c AS MATERIALIZED (SELECT * FROM kept.\"0\")"), "{statement}");
    }
}
