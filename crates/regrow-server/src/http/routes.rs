//! The templates of all paths, for metrics: a path itself has values without number in it.

/// Every path that is answered, with what varies in braces.
pub(crate) const TEMPLATES: &[&str] = &[
    "/agents/{id}/{rest}",
    "/pools/{id}/{rest}",
    "/supervisor/status",
    "/supervisor/spawn",
    "/supervisor/stop/{id}",
    "/supervisor/restart/{id}",
    "/supervisor/health",
    "/v1/info",
    "/v1/agents",
    "/v1/agents/{id}",
    "/v1/agents/{id}/start",
    "/v1/agents/{id}/stop",
    "/v1/agents/{id}/restart",
    "/v1/agents/{id}/send",
    "/v1/agents/{id}/pause",
    "/v1/agents/{id}/resume",
    "/v1/agents/{id}/signal",
    "/v1/agents/{id}/logs",
    "/v1/agents/{id}/tree",
    "/v1/breakers",
    "/v1/breakers/{id}",
    "/v1/breakers/{id}/open",
    "/v1/breakers/{id}/close",
    "/v1/breakers/{id}/reset",
    "/v1/pools",
    "/v1/pools/{id}",
    "/v1/pools/{id}/scale",
    "/v1/logs",
    "/v1/wait",
    "/v1/down",
    "/livez",
    "/readyz",
    "/startupz",
    "/health",
    "/metrics",
];

/// The template of a path, or `other`.
pub(super) fn template(path: &str) -> &'static str {
    let fits = |template: &&&str| {
        let mut segments = path.split('/');
        for part in template.split('/') {
            match segments.next() {
                _ if part == "{rest}" => return true,
                Some(segment) if part == segment || part == "{id}" => {}
                Some(_) | None => return false,
            }
        }
        segments.next().is_none()
    };
    TEMPLATES.iter().find(fits).copied().unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_found_and_nothing_else_is() {
        for expected in TEMPLATES {
            let path = expected
                .replace("{id}", "a.b-1")
                .replace("{rest}", "x/y/../z");
            assert_eq!(template(&path), *expected);
        }
        assert_eq!(template("/agents/a"), "/agents/{id}/{rest}");
        for path in [
            "/",
            "",
            "/agents",
            "/v1",
            "/v1/agents/a/b",
            "/livez/x",
            "/metrics/",
        ] {
            assert_eq!(template(path), "other", "{path}");
        }
    }
}
