//! `hexiao schema`: what producers send, for tools and for people who write a producer.

use event::Stream;

use super::Done;

/// Arguments of `schema`.
#[derive(clap::Args)]
pub struct Args {
    /// The stream: its JSON Schema is printed; without one the AsyncAPI document over all streams.
    stream: Option<Stream>,
}

/// Prints the document.
pub fn run(args: &Args) -> Done {
    let document = args.stream.map_or_else(event::asyncapi, event::json_schema);
    super::write(format!("{document:#}\n").as_bytes())
}
