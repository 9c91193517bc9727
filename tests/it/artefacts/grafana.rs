//! Grafana's model of a dashboard, as far as ours need it: rows of panels from left to right, each with its expressions.

use serde_json::{Value, json};

/// How wide a row is, in Grafana's columns.
const WIDTH: u64 = 24;

/// A dashboard as a value.
pub(super) struct Dashboard {
    /// Names it in links; also the name of its file.
    pub(super) uid: &'static str,
    pub(super) title: &'static str,
    pub(super) variables: Vec<Variable>,
    pub(super) rows: Vec<Row>,
}

/// What can be chosen at the top: values of a label.
pub(super) struct Variable {
    pub(super) label: &'static str,
    /// Whose label it is; may be narrowed by variables before it.
    pub(super) of: String,
}

/// Panels under one heading.
pub(super) struct Row {
    pub(super) title: &'static str,
    pub(super) panels: Vec<Panel>,
}

/// What a number is.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    Count,
    Bytes,
    Seconds,
    Ratio,
    PerSecond,
    BytesPerSecond,
}

impl Unit {
    /// Grafana's name of it.
    const fn id(self) -> &'static str {
        match self {
            Self::Count => "short",
            Self::Bytes => "bytes",
            Self::Seconds => "s",
            Self::Ratio => "percentunit",
            Self::PerSecond => "cps",
            Self::BytesPerSecond => "Bps",
        }
    }
}

/// How a panel shows its expressions.
#[derive(Clone, Copy)]
enum Shape {
    Number,
    Lines,
    Stack,
    Heat,
}

/// One picture.
pub(super) struct Panel {
    title: &'static str,
    help: &'static str,
    shape: Shape,
    unit: Unit,
    /// From where on it is yellow, and from where on red.
    limits: Option<(f64, f64)>,
    /// Each expression, and what its series are called.
    targets: Vec<(String, &'static str)>,
}

impl Panel {
    const fn new(title: &'static str, unit: Unit, shape: Shape) -> Self {
        Self {
            title,
            help: "",
            shape,
            unit,
            limits: None,
            targets: Vec::new(),
        }
    }

    /// One number, as it is now.
    pub(super) fn number(title: &'static str, unit: Unit, expression: String) -> Self {
        Self::new(title, unit, Shape::Number).with(expression, "")
    }

    /// A line for each series.
    pub(super) const fn lines(title: &'static str, unit: Unit) -> Self {
        Self::new(title, unit, Shape::Lines)
    }

    /// Areas that add up.
    pub(super) const fn stack(title: &'static str, unit: Unit) -> Self {
        Self::new(title, unit, Shape::Stack)
    }

    /// Where the observations of a histogram lie.
    pub(super) fn heat(title: &'static str, unit: Unit, expression: String) -> Self {
        Self::new(title, unit, Shape::Heat).with(expression, "{{le}}")
    }

    /// One more expression.
    pub(super) fn with(mut self, expression: String, legend: &'static str) -> Self {
        self.targets.push((expression, legend));
        self
    }

    /// What to know when looking at it.
    pub(super) const fn help(mut self, help: &'static str) -> Self {
        self.help = help;
        self
    }

    /// From where on it is yellow, and from where on red.
    pub(super) const fn limits(mut self, yellow: f64, red: f64) -> Self {
        self.limits = Some((yellow, red));
        self
    }

    /// Columns and lines of Grafana's grid.
    const fn size(&self) -> (u64, u64) {
        match self.shape {
            Shape::Number => (4, 4),
            Shape::Lines | Shape::Stack | Shape::Heat => (8, 8),
        }
    }

    fn json(&self, id: usize, (x, y): (u64, u64)) -> Value {
        let (width, height) = self.size();
        let (kind, options, custom) = self.style();
        let mut steps = vec![json!({ "color": "green", "value": null })];
        if let Some((yellow, red)) = self.limits {
            steps.push(json!({ "color": "yellow", "value": yellow }));
            steps.push(json!({ "color": "red", "value": red }));
        }
        let targets: Vec<Value> = ('A'..)
            .zip(&self.targets)
            .map(|(name, (expression, legend))| self.target(name, expression, legend))
            .collect();
        json!({
            "id": id,
            "type": kind,
            "title": self.title,
            "description": self.help,
            "datasource": datasource(),
            "gridPos": { "x": x, "y": y, "w": width, "h": height },
            "fieldConfig": {
                "defaults": {
                    "unit": self.unit.id(),
                    "min": 0,
                    "thresholds": { "mode": "absolute", "steps": steps },
                    "custom": custom,
                },
                "overrides": [],
            },
            "options": options,
            "targets": targets,
        })
    }

    fn target(&self, name: char, expression: &str, legend: &str) -> Value {
        let (format, instant) = match self.shape {
            Shape::Number => ("time_series", true),
            Shape::Lines | Shape::Stack => ("time_series", false),
            Shape::Heat => ("heatmap", false),
        };
        json!({
            "refId": name.to_string(),
            "datasource": datasource(),
            "expr": expression,
            "legendFormat": legend,
            "format": format,
            "instant": instant,
            "range": !instant,
        })
    }

    /// The kind of panel, its options, and those of its fields.
    fn style(&self) -> (&'static str, Value, Value) {
        let lines = |fill: u64, stacking: &str| {
            let limits = if self.limits.is_some() { "line" } else { "off" };
            (
                "timeseries",
                json!({
                    "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true },
                    "tooltip": { "mode": "multi", "sort": "desc" },
                }),
                json!({
                    "fillOpacity": fill,
                    "stacking": { "mode": stacking, "group": "A" },
                    "thresholdsStyle": { "mode": limits },
                }),
            )
        };
        match self.shape {
            Shape::Number => (
                "stat",
                json!({ "reduceOptions": { "calcs": ["lastNotNull"] }, "colorMode": "value" }),
                json!({}),
            ),
            Shape::Lines => lines(0, "none"),
            Shape::Stack => lines(40, "normal"),
            Shape::Heat => (
                "heatmap",
                json!({
                    "calculate": false,
                    "yAxis": { "unit": self.unit.id() },
                    "color": { "mode": "scheme", "scheme": "Oranges" },
                }),
                json!({}),
            ),
        }
    }
}

/// The data source that is chosen at the top.
fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

impl Variable {
    fn json(&self) -> Value {
        let query = format!("label_values({}, {})", self.of, self.label);
        json!({
            "name": self.label,
            "type": "query",
            "datasource": datasource(),
            "query": { "query": query, "refId": self.label },
            "definition": query,
            "refresh": 2,
            "sort": 1,
            "multi": true,
            "includeAll": true,
            "allValue": ".*",
            "current": { "text": ["All"], "value": ["$__all"] },
        })
    }
}

impl Dashboard {
    /// As Grafana reads it.
    pub(super) fn json(&self) -> Value {
        let source = json!({ "name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source" });
        let variables: Vec<Value> = std::iter::once(source)
            .chain(self.variables.iter().map(Variable::json))
            .collect();
        json!({
            "uid": self.uid,
            "title": self.title,
            "tags": ["regrow"],
            "schemaVersion": 39,
            "editable": true,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": { "from": "now-1h", "to": "now" },
            "links": [{ "type": "dashboards", "tags": ["regrow"], "title": "regrow", "asDropdown": false, "keepTime": true, "includeVars": true }],
            "templating": { "list": variables },
            "panels": self.panels(),
        })
    }

    /// All panels in their places.
    fn panels(&self) -> Vec<Value> {
        let (mut panels, mut y) = (Vec::new(), 0);
        for row in &self.rows {
            panels.push(json!({
                "id": panels.len() + 1,
                "type": "row",
                "title": row.title,
                "collapsed": false,
                "gridPos": { "x": 0, "y": y, "w": WIDTH, "h": 1 },
                "panels": [],
            }));
            y += 1;
            let (mut x, mut tallest) = (0, 0);
            for panel in &row.panels {
                let (width, height) = panel.size();
                if x + width > WIDTH {
                    (x, y, tallest) = (0, y + tallest, 0);
                }
                panels.push(panel.json(panels.len() + 1, (x, y)));
                (x, tallest) = (x + width, tallest.max(height));
            }
            y += tallest;
        }
        panels
    }

    /// Every expression, with the name of its panel.
    pub(super) fn expressions(&self) -> Vec<(String, &str)> {
        let panels = self.rows.iter().flat_map(|row| &row.panels);
        panels
            .flat_map(|panel| {
                let name = format!("{}, {}", self.title, panel.title);
                panel
                    .targets
                    .iter()
                    .map(move |(expression, _)| (name.clone(), expression.as_str()))
            })
            .collect()
    }

    /// Every expression with what its series are called after, in braces.
    pub(super) fn legends(&self) -> impl Iterator<Item = (&str, &str)> {
        let panels = self.rows.iter().flat_map(|row| &row.panels);
        panels
            .flat_map(|panel| &panel.targets)
            .map(|(expression, legend)| (expression.as_str(), *legend))
    }
}
