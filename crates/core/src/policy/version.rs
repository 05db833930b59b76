//! Version arithmetic: every new version of a policy is the next free patch.

use semver::Version;

/// The next patch: `1.0.1` for `1.0.0`. A pre-release or build tag is dropped, so that the result is
/// always later.
///
/// If the patch number is the largest of 64 bits, the minor number rises instead.
pub fn next_patch(version: &Version) -> Version {
    let Version { major, minor, patch, .. } = *version;
    match patch.checked_add(1) {
        Some(patch) => Version::new(major, minor, patch),
        None => Version::new(major, minor.saturating_add(1), 0),
    }
}

/// [`next_patch`] of a text.
///
/// # Errors
/// A text that is not a semantic version.
pub fn bump_patch(version: &str) -> Result<String, semver::Error> {
    Ok(next_patch(&version.parse()?).to_string())
}

/// The patch after `parent` and after every existing version of the same major and minor number.
///
/// Gaps are not filled, so that a later draft always sorts later.
pub fn next_free_patch<'a>(
    parent: &Version,
    existing: impl IntoIterator<Item = &'a Version>,
) -> Version {
    let line = |it: &&Version| (it.major, it.minor) == (parent.major, parent.minor);
    let latest = existing.into_iter().filter(line).max_by_key(|it| it.patch);
    match latest {
        Some(latest) if latest.patch > parent.patch => next_patch(latest),
        _ => next_patch(parent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn the_patch_rises_by_one() {
        assert_eq!(bump_patch("1.0.0").unwrap(), "1.0.1");
        assert_eq!(bump_patch("2.5.9").unwrap(), "2.5.10");
        assert_eq!(bump_patch("1.0.0-rc.1+build").unwrap(), "1.0.1");
        assert!(bump_patch("2.5").is_err());
    }

    #[test]
    fn the_largest_patch_carries_into_the_minor_number() {
        assert_eq!(bump_patch("1.2.18446744073709551615").unwrap(), "1.3.0");
    }

    #[test]
    fn a_free_patch_is_later_than_every_version_of_its_minor_number() {
        let existing = ["1.0.0", "1.0.1", "1.0.10", "1.1.40", "2.0.99"].map(version);
        assert_eq!(next_free_patch(&version("1.0.1"), &existing), version("1.0.11"));
        assert_eq!(next_free_patch(&version("3.0.4"), &existing), version("3.0.5"));
        assert_eq!(next_free_patch(&version("1.0.12"), &existing), version("1.0.13"));
    }
}
