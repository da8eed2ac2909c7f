//! `ringpost doctor`: whether this host is as the server wants it, by one table.

mod host;
mod table;
