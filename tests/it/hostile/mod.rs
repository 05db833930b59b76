//! What strangers and neighbours may not do: make the service claim a change that it did not make, or
//! change with few observations what it believes of a component.

mod limits;
mod replays;
mod terminal;
