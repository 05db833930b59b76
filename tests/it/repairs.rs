//! Each damage, repaired by the command that its error names.
