//! How much each framework asks for before anything works.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Complexity by framework, 0 to 10, by its conventions, layers and configuration: a guess of this
/// crate's authors, and a host's own where it knows better; clones share them.
///
/// Case, a last `js` and the full stop before it do not matter: `Next.js` is `next`.
///
/// ```
/// use devmatrix_ml::features::{FeatureOptions, Frameworks};
/// let frameworks = Frameworks::default().with("Our Stack", 9.0)?.with("flask", 2.5)?;
/// let mut options = FeatureOptions::default();
/// options.frameworks = frameworks;
/// # assert_ne!(options, FeatureOptions::default());
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, f32>", into = "BTreeMap<String, f32>")]
pub struct Frameworks(Arc<BTreeMap<String, f32>>);

// No value is NaN.
impl Eq for Frameworks {}

/// The most bytes of a framework's name.
const MAX_NAME_BYTES: usize = 64;

impl Frameworks {
    /// These, and `name` with a complexity from 0 to 10; of two for one name the later counts.
    ///
    /// ```
    /// use devmatrix_ml::{ErrorKind, features::Frameworks};
    /// let error = Frameworks::default().with("flask", 11.0).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidInput);
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` naming the framework whose name or complexity is out of range.
    pub fn with(mut self, name: &str, complexity: f32) -> Result<Self> {
        let Some(plain) = plain(name) else {
            let start = &name[..name.floor_char_boundary(MAX_NAME_BYTES)];
            return Err(Error::invalid(format!(
                "the framework's name {start:?}: give it one to {MAX_NAME_BYTES} bytes"
            )));
        };
        if !(0.0..=10.0).contains(&complexity) {
            return Err(Error::invalid(format!(
                "the complexity of the framework {name:?} is {complexity}, expected 0 to 10"
            )));
        }
        // A zero has no sign.
        Arc::make_mut(&mut self.0).insert(plain, complexity + 0.0);
        Ok(self)
    }

    /// The complexity of the framework called `name`, where it is known.
    pub(crate) fn complexity(&self, name: &str) -> Option<f32> {
        let name = plain(name)?;
        self.0.get(&name).copied().or_else(|| guess(&name))
    }

    /// The host's own, in the order of their names.
    pub(super) fn own(&self) -> impl Iterator<Item = (&str, f32)> {
        self.0.iter().map(|(name, complexity)| (name.as_str(), *complexity))
    }
}

impl TryFrom<BTreeMap<String, f32>> for Frameworks {
    type Error = Error;

    fn try_from(named: BTreeMap<String, f32>) -> Result<Self> {
        named.iter().try_fold(Self::default(), |all, (name, complexity)| all.with(name, *complexity))
    }
}

impl From<Frameworks> for BTreeMap<String, f32> {
    fn from(frameworks: Frameworks) -> Self {
        Arc::unwrap_or_clone(frameworks.0)
    }
}

/// The name as it is compared; nothing where it is empty or too long.
fn plain(name: &str) -> Option<String> {
    let name = name.trim();
    if name.len() > MAX_NAME_BYTES {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let short = name.trim_end_matches("js").trim_end_matches('.');
    // A name of nothing else keeps it.
    let plain = if short.is_empty() { &name } else { short };
    Some(plain.to_owned()).filter(|plain| !plain.is_empty())
}

fn guess(plain: &str) -> Option<f32> {
    Some(match plain {
        "flask" | "express" | "gin" | "sinatra" | "bottle" | "echo" | "chi" => 2.0,
        "fastapi" | "svelte" | "vue" | "axum" | "actix" | "koa" | "fiber" | "htmx" => 3.0,
        "react" | "preact" | "solid" | "nuxt" | "sveltekit" | "remix" => 4.0,
        "django" | "next" | "rails" | "laravel" | "phoenix" | "flutter" | "symfony" => 5.0,
        "nest" | "angular" | "aspnet" | "asp.net" | "dotnet" => 6.0,
        "spring" | "spring boot" | "springboot" | "jakarta" | "kubernetes" => 7.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn known_frameworks_are_found_however_they_are_written() {
        let frameworks = Frameworks::default();
        for name in ["next.js", "NextJS", "NEXT", " next ", "vue.js", "ASP.NET", "Spring Boot"] {
            assert!(frameworks.complexity(name).is_some(), "{name}");
        }
        let long = "x".repeat(1 << 20);
        for name in ["", " ", "🦀", "js", "jsjs", "...", "reactor", long.as_str(), "\0"] {
            assert_eq!(frameworks.complexity(name), None);
        }
    }

    #[test]
    fn a_hosts_own_come_first_and_are_checked() {
        let own = Frameworks::default().with("Flask", 9.5).unwrap().with("js", -0.0).unwrap();
        assert_eq!((own.complexity("flask"), own.complexity("JS")), (Some(9.5), Some(0.0)));
        assert!(own.complexity("js").is_some_and(f32::is_sign_positive));
        let written = serde_json::to_string(&own).unwrap();
        assert_eq!(serde_json::from_str::<Frameworks>(&written).unwrap(), own);
        for (name, complexity) in [("flask", f32::NAN), ("flask", 10.1), ("flask", -1.0), ("", 1.0)] {
            let error = own.clone().with(name, complexity).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(own.with(&"ñ".repeat(33), 1.0).is_err());
        assert!(serde_json::from_str::<Frameworks>(r#"{"flask": 11}"#).is_err());
    }
}
