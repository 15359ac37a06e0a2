//! Task descriptions.

use super::random::Draw;

/// A thing that tasks are about: one, many, many in Spanish.
pub(super) type Noun = (&'static str, &'static str, &'static str);

/// A description.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) text: String,
    /// Subject of the task.
    pub(super) noun: Noun,
    /// Part of the difficulty that is visible in the text.
    pub(super) visible: f64,
    /// Requirements that it lists.
    pub(super) bullets: u32,
}

const NOUNS: [Noun; 12] = [
    ("order", "orders", "pedidos"),
    ("invoice", "invoices", "recibos"),
    ("product", "products", "productos"),
    ("user", "users", "usuarios"),
    ("report", "reports", "informes"),
    ("ticket", "tickets", "avisos"),
    ("shipment", "shipments", "envíos"),
    ("contract", "contracts", "contratos"),
    ("comment", "comments", "comentarios"),
    ("booking", "bookings", "turnos"),
    ("device", "devices", "dispositivos"),
    ("coupon", "coupons", "cupones"),
];

/// Returns the openings of descriptions of a task type; `~` stands for the subject.
fn openings(kind: &str) -> &'static [&'static str] {
    match kind {
        "backend" => &[
            "Add a REST endpoint that lists the ~ of a customer",
            "Implement the service that creates and updates ~",
            "Extend the API so that ~ can be searched by date",
            "Change the controller that returns ~ to the mobile app",
        ],
        "frontend" => &[
            "Build the page that shows the ~ of a customer",
            "Add a form component in which people edit their ~",
            "Rework the table of ~ so that it sorts and filters",
            "Show a dialog before several ~ are deleted at once",
        ],
        "database" => &[
            "Create the schema in which we keep ~ and their history",
            "Write the query that counts ~ by month and by region",
            "Add the missing indexes to the tables of the ~",
            "Change the table of ~ so that each has an owner",
        ],
        "testing" => &[
            "Write unit tests for the functions that handle ~",
            "Add integration tests around the import of the ~",
            "Cover the edge cases of the filter over the ~",
            "Turn the manual checks of the ~ into automatic tests",
        ],
        "documentation" => &[
            "Write the reference page of the API for ~",
            "Document how a new developer sets up the ~ module",
            "Update the guide that explains the life of the ~",
            "Explain in the README how the ~ are exported",
        ],
        _ => &[
            "Add a pipeline step that deploys the service of the ~",
            "Write the container image for the worker that handles ~",
            "Set up the nightly backup of the ~ and its alarm",
            "Move the settings of the ~ service into the environment",
        ],
    }
}

fn spanish_openings(kind: &str) -> &'static [&'static str] {
    match kind {
        "backend" => &["Añadir un endpoint que devuelva los últimos ~ de cada cliente"],
        "frontend" => &["Crear la página que muestra los ~ de cada cliente"],
        "database" => &["Escribir la consulta que cuenta los ~ por mes y región"],
        "testing" => &["Escribir pruebas para las funciones que tratan los ~"],
        "documentation" => &["Documentar en la guía cómo se exportan los ~"],
        _ => &["Añadir al despliegue el servicio que procesa los ~"],
    }
}

/// Motivations, which carry no information about difficulty.
const REASONS: [&str; 8] = [
    "The team in Madrid has asked for this since the last release and waits for it.",
    "At the moment people do this by hand, which takes them most of a morning.",
    "Please follow the conventions of the module and reuse the helpers that are there.",
    "Nothing else in the module should change, and the present tests have to stay green.",
    "It comes from the ticket that support opened last week after several complaints.",
    "Keep the change small enough to be reviewed in one go by someone new.",
    "The design was agreed with the product owner; screenshots are attached to the ticket.",
    "We need it before the end of the sprint, because the next task builds on it.",
];

const SPANISH_REASONS: [&str; 3] = [
    "El equipo de soporte lo pidió la semana pasada y espera tenerlo en esta entrega.",
    "Ahora mismo se hace a mano y lleva casi toda la mañana a dos personas.",
    "Por favor, seguid las convenciones del módulo y no cambiéis nada más de lo necesario.",
];

/// A requirement with what it adds to the difficulty.
type Phrase = (&'static str, f64);

const HARD: [Phrase; 14] = [
    ("the write must be part of the distributed transaction", 1.0),
    ("the payment provider must be called exactly once", 0.9),
    ("fix the race condition between two workers", 1.1),
    ("the migration must run without downtime", 0.8),
    ("push changes to the browser in real-time over a websocket", 0.8),
    ("put failed jobs back on the queue with exponential delay", 0.6),
    ("support authentication with a JWT that can be revoked", 0.5),
    ("authorization is checked per tenant and per role", 0.6),
    ("the result is a streaming response that survives a reconnect", 0.8),
    ("keep the two microservices consistent when one is down", 1.0),
    ("encrypt the personal data at rest, security will review it", 0.6),
    ("rank the results with the machine learning model", 0.7),
    ("it must be idempotent under concurrent retries", 0.8),
    ("resolve conflicts between offline edits", 0.9),
];

const USUAL: [Phrase; 16] = [
    ("support pagination with a limit and a cursor", 0.1),
    ("validation errors name the field", 0.1),
    ("the list can be filtered by status", 0.0),
    ("return 404 when nothing is found", 0.0),
    ("dates are shown in the time zone of the user", 0.2),
    ("log who made the change and when", 0.0),
    ("cover the new behaviour with tests", 0.0),
    ("an empty list must look deliberate", 0.0),
    ("sort by name and then by date", -0.1),
    ("the export should be a CSV file", 0.1),
    ("keep the response under two hundred milliseconds", 0.3),
    ("use the serializer that the other routes use", 0.0),
    ("numbers are formatted with two decimals", -0.1),
    ("the schema has a unique constraint on the code", 0.1),
    ("file upload accepts PDF up to five megabytes", 0.3),
    ("the default should come from the configuration", 0.0),
];

const EASY: [Phrase; 8] = [
    ("rename the field to match the docs", -0.5),
    ("fix the typo in the heading", -0.8),
    ("update the docs and nothing else", -0.7),
    ("change the label of the button", -0.7),
    ("remove the unused import", -0.6),
    ("copy the example from the other page", -0.5),
    ("add one more value to the list of constants", -0.5),
    ("correct the wording of the message", -0.6),
];

const SPANISH: [[Phrase; 3]; 3] = [
    [
        ("la transacción distribuida debe ser atómica", 1.0),
        ("evitar la condición de carrera entre procesos", 1.1),
        ("la migración se hace sin parar el servicio", 0.8),
    ],
    [
        ("los errores de validación indican el campo", 0.1),
        ("se puede filtrar por estado y por fecha", 0.0),
        ("añadir pruebas del nuevo comportamiento", 0.0),
    ],
    [
        ("corregir la errata del título", -0.8),
        ("cambiar el texto del botón", -0.7),
        ("renombrar el campo como en la guía", -0.5),
    ],
];

/// Share of descriptions in Spanish.
const SPANISH_SHARE: f64 = 0.08;

/// A description of a task of type `kind`, 20 to 150 words.
pub(super) fn describe(kind: &str, draw: &mut Draw) -> Description {
    let spanish = draw.chance(SPANISH_SHARE);
    let noun = *draw.pick(&NOUNS);
    let (openings, reasons): (_, &[&str]) =
        if spanish { (spanish_openings(kind), &SPANISH_REASONS) } else { (openings(kind), &REASONS) };
    let phrases: [&[Phrase]; 3] =
        if spanish { [&SPANISH[0], &SPANISH[1], &SPANISH[2]] } else { [&HARD, &USUAL, &EASY] };
    let mut text = String::with_capacity(700);
    let opening = draw.pick(openings);
    let (before, after) = opening.split_once('~').unwrap_or((opening, ""));
    for part in [before, if spanish { noun.2 } else { noun.1 }, after, "."] {
        text.push_str(part);
    }
    let first = draw.below(reasons.len() as u32) as usize;
    for reason in reasons.iter().cycle().skip(first).take(1 + draw.below(2) as usize) {
        text.push(' ');
        text.push_str(reason);
    }
    let (bullets, difficulty) = requirements(&mut text, phrases, draw);
    // A long list is harder by itself; no list at all is often something small.
    let visible = difficulty + 0.12 * (f64::from(bullets) - 3.0);
    Description { text, noun, visible, bullets }
}

/// Lists up to eight requirements, none twice; the more wild the task, the more hard ones.
fn requirements(text: &mut String, [hard, usual, easy]: [&[Phrase]; 3], draw: &mut Draw) -> (u32, f64) {
    let wild = draw.unit();
    let most = if usual.len() > 3 { 9 } else { 5 };
    let wanted = draw.below(most);
    let (mut used, mut bullets, mut difficulty) = ([0_u32; 3], 0, 0.0);
    for _ in 0..wanted {
        let u = draw.unit();
        let class = match u {
            _ if u < 0.7 * wild * wild => 0,
            _ if u > 1.0 - 0.45 * (1.0 - wild) => 2,
            _ => 1,
        };
        let of = [hard, usual, easy][class];
        let which = draw.below(of.len() as u32);
        if used[class] & (1 << which) != 0 {
            continue;
        }
        used[class] |= 1 << which;
        let (phrase, weight) = of[which as usize];
        text.push_str("\n- ");
        text.push_str(phrase);
        bullets += 1;
        difficulty += weight;
    }
    (bullets, difficulty.clamp(-2.0, 2.5))
}

#[cfg(test)]
mod tests {
    use super::super::random::Purpose;
    use super::super::world::KINDS;
    use super::*;
    use crate::text::TextFacts;

    #[test]
    fn descriptions_are_of_a_persons_length_and_list_what_they_say() {
        let (mut distinct, mut spanish) = (std::collections::BTreeSet::new(), 0);
        for number in 0..6_000 {
            let kind = KINDS[number as usize % KINDS.len()].0;
            let made = describe(kind, &mut Draw::new(1, Purpose::Text, number));
            let words = made.text.split_whitespace().filter(|w| *w != "-").count();
            assert!((20..=150).contains(&words), "{words} words: {}", made.text);
            assert!(!made.text.contains('~'));
            assert!(TextFacts::of(&made.text).num_requirements >= made.bullets as usize);
            spanish += usize::from(made.text.contains(made.noun.2));
            distinct.insert(made.text);
        }
        assert!(distinct.len() > 5_500, "{}", distinct.len());
        assert!((300..700).contains(&spanish), "{spanish}");
    }

    #[test]
    fn hard_words_are_in_hard_tasks() {
        let made: Vec<_> =
            (0..4_000).map(|n| describe("backend", &mut Draw::new(2, Purpose::Text, n))).collect();
        let mean = |word: &str| {
            let of: Vec<_> = made.iter().filter(|d| d.text.contains(word)).map(|d| d.visible).collect();
            of.iter().sum::<f64>() / of.len() as f64
        };
        for word in ["distributed", "payment", "migration", "race condition"] {
            assert!(mean(word) > mean("CSV") && mean("CSV") > mean("typo"), "{word}");
        }
    }
}
