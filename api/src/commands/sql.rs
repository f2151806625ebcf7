//! `hexiao sql`: one statement over a data folder, without a lock, also beside a running process.

use std::io::Read;

use query::Params;

use super::Done;
use crate::config::Setup;
use crate::folder;

/// Arguments of `sql`.
#[derive(clap::Args)]
pub struct Args {
    /// The statement; `-` reads it from stdin.
    statement: String,
    #[command(flatten)]
    shown: super::Shown,
    /// Value of a `$name` in the statement; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = super::named_value)]
    params: Vec<(String, String)>,
}

/// Runs the statement.
pub async fn run(setup: &Setup, args: Args) -> Done {
    folder::check_readable(&setup.data)?;
    let mut statement = args.statement;
    if statement == "-" {
        statement.clear();
        std::io::stdin().read_to_string(&mut statement)?;
    }
    let mut params = Params::new();
    for (name, value) in args.params {
        params.set(name, query::Value::Text(value));
    }
    let engine = super::engine(setup)?;
    let view = super::view(setup).await?;
    args.shown.print(engine.sql(&view, &statement, &params).await?).await
}
