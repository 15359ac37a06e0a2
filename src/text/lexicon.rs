//! Word lists in English and Spanish, found by hash in one pass over the words.

use std::sync::LazyLock;

/// Terms that make a task complex (each counts once).
const COMPLEX: &[&str] = &[
    "authentication",
    "authorization",
    "security",
    "real-time",
    "websocket",
    "streaming",
    "distributed",
    "microservices",
    "queue",
    "payment",
    "transaction",
    "blockchain",
    "machine learning",
    "ai",
    "model",
];

/// Technical terms (each counts once).
const TECHNICAL: &[&str] = &[
    "api",
    "endpoint",
    "route",
    "controller",
    "service",
    "model",
    "schema",
    "migration",
    "database",
    "query",
    "authentication",
    "authorization",
    "jwt",
    "token",
    "validation",
    "serializer",
    "crud",
    "rest",
    "graphql",
    "component",
    "hook",
    "state",
    "props",
    "redux",
    "async",
    "await",
    "promise",
    "callback",
    "docker",
    "kubernetes",
    "ci/cd",
    "deployment",
];

/// Spanish words for technical terms, which count as the English ones.
const SPANISH: &[(&str, &str)] = &[
    ("servicio", "service"),
    ("controlador", "controller"),
    ("modelo", "model"),
    ("esquema", "schema"),
    ("migración", "migration"),
    ("migracion", "migration"),
    ("de datos", "database"),
    ("consulta", "query"),
    ("autenticación", "authentication"),
    ("autenticacion", "authentication"),
    ("autorización", "authorization"),
    ("autorizacion", "authorization"),
    ("validación", "validation"),
    ("validacion", "validation"),
    ("ruta", "route"),
    ("componente", "component"),
    ("estado", "state"),
    ("despliegue", "deployment"),
];

/// What must be done.
const DEMANDS: &[&str] =
    &["must", "should", "debe", "deben", "deberá", "debera", "debería", "deberia", "tiene que", "tienen que"];

/// What limits a task (each time it is said).
const CONSTRAINTS: &[&str] = &[
    "must",
    "only",
    "unique",
    "required",
    "mandatory",
    "maximum",
    "minimum",
    "max",
    "min",
    "limit",
    "at least",
    "at most",
    "no more",
    "less than",
    "greater than",
    "cannot",
    "debe",
    "deben",
    "solo",
    "sólo",
    "único",
    "unico",
    "obligatorio",
    "requerido",
    "máximo",
    "maximo",
    "mínimo",
    "minimo",
    "límite",
    "limite",
    "al menos",
    "no puede",
];

/// What ties entities together (each time it is said).
const RELATIONSHIPS: &[&str] = &[
    "has many",
    "have many",
    "has one",
    "belongs to",
    "belong to",
    "to many",
    "to one",
    "references",
    "related to",
    "foreign key",
    "relationship",
    "linked to",
    "associated with",
    "tiene muchos",
    "tiene muchas",
    "tiene un",
    "tiene una",
    "pertenece a",
    "pertenecen a",
    "a muchos",
    "a uno",
    "relacionado con",
    "relacionada con",
    "relación",
    "relacion",
    "clave foránea",
    "clave foranea",
];

/// What each flag is raised by, in the order of [`Flag`](super::Flag).
const FLAGS: [&[&str]; 7] = [
    &[
        "authentication",
        "authenticate",
        "login",
        "log in",
        "signin",
        "sign in",
        "signup",
        "sign up",
        "jwt",
        "oauth",
        "oauth2",
        "password",
        "sso",
        "autenticación",
        "autenticacion",
        "autenticar",
        "contraseña",
        "de sesión",
        "de sesion",
        "iniciar sesión",
        "iniciar sesion",
    ],
    &[
        "authorization",
        "authorisation",
        "authorize",
        "permission",
        "role",
        "rbac",
        "acl",
        "access control",
        "autorización",
        "autorizacion",
        "autorizar",
        "permiso",
        "rol",
        "roles",
    ],
    &["validation", "validate", "validator", "validates", "validación", "validacion", "validar", "valida"],
    &[
        "database",
        "db",
        "sql",
        "postgres",
        "postgresql",
        "mysql",
        "sqlite",
        "mongodb",
        "redis",
        "orm",
        "migration",
        "de datos",
        "migración",
        "migracion",
        "tabla",
    ],
    &[
        "integration",
        "integrate",
        "webhook",
        "third party",
        "external api",
        "external service",
        "api client",
        "sdk",
        "stripe",
        "twilio",
        "integración",
        "integracion",
        "integrar",
        "api externa",
        "servicio externo",
        "de terceros",
    ],
    &[
        "upload",
        "uploads",
        "uploading",
        "file upload",
        "attachment",
        "multipart",
        "subir",
        "subida",
        "adjunto",
        "adjuntar",
        "cargar archivo",
        "cargar archivos",
    ],
    &[
        "real time",
        "realtime",
        "websocket",
        "web socket",
        "streaming",
        "server sent",
        "push notification",
        "tiempo real",
        "notificaciones push",
    ],
];

/// What a word, or a word with the one before it, stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Meaning {
    /// One bit a complex term.
    pub(super) complex: u32,
    /// One bit a technical term.
    pub(super) technical: u64,
    /// `must` or `should`.
    pub(super) demands: bool,
    pub(super) constrains: bool,
    pub(super) relates: bool,
    /// One bit a flag.
    pub(super) flags: u8,
}

/// The terms, ready to be asked.
pub(super) fn table() -> &'static Table {
    &TABLE
}

/// The hash of a two-word term, from the hashes of its words.
pub(super) fn pair(first: u64, second: u64) -> u64 {
    (first.rotate_left(23) ^ second).wrapping_mul(PRIME)
}

/// FNV-1a, one byte further.
#[inline]
pub(super) fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(PRIME)
}

/// FNV-1a's offset basis.
pub(super) const SEED: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;
const SLOTS: usize = 1024;

static TABLE: LazyLock<Table> = LazyLock::new(Table::new);

/// Open addressing over few terms: one probe tells nearly every word that it has no meaning.
pub(super) struct Table {
    slots: Vec<Option<(u64, String, Meaning)>>,
    /// One bit for each value of a hash's low bits that some term has.
    filter: [u64; FILTER_BITS / 64],
}

const FILTER_BITS: usize = 4096;

impl Table {
    fn new() -> Self {
        let mut table = Self { slots: vec![None; SLOTS], filter: [0; FILTER_BITS / 64] };
        for (i, term) in COMPLEX.iter().enumerate() {
            table.entry(term).complex |= 1 << i;
        }
        for (i, term) in TECHNICAL.iter().enumerate() {
            table.entry(term).technical |= 1 << i;
        }
        for (spanish, english) in SPANISH {
            let place = TECHNICAL.iter().position(|term| term == english);
            table.entry(spanish).technical |= place.map_or(0, |i| 1 << i);
        }
        DEMANDS.iter().for_each(|word| table.entry(word).demands = true);
        CONSTRAINTS.iter().for_each(|word| table.entry(word).constrains = true);
        RELATIONSHIPS.iter().for_each(|word| table.entry(word).relates = true);
        for (i, words) in FLAGS.iter().enumerate() {
            words.iter().for_each(|word| table.entry(word).flags |= 1 << i);
        }
        table
    }

    fn entry(&mut self, term: &str) -> &mut Meaning {
        let words: Vec<_> = term.split(['-', ' ', '/']).collect();
        let key = words.join(" ");
        let hash = match words[..] {
            [first, second] => pair(hash(first), hash(second)),
            _ => hash(term),
        };
        let bit = hash as usize % FILTER_BITS;
        self.filter[bit / 64] |= 1 << (bit % 64);
        let mut slot = hash as usize % SLOTS;
        while self.slots[slot].as_ref().is_some_and(|(_, k, _)| *k != key) {
            slot = (slot + 1) % SLOTS;
        }
        &mut self.slots[slot].get_or_insert_with(|| (hash, key, Meaning::default())).2
    }

    /// The meaning of the word or pair (lower-case ASCII) of this hash, where it has one.
    pub(super) fn find(&self, hash: u64, is: impl Fn(&str) -> bool) -> Option<Meaning> {
        let bit = hash as usize % FILTER_BITS;
        if self.filter[bit / 64] >> (bit % 64) & 1 == 0 {
            return None;
        }
        let mut slot = hash as usize % SLOTS;
        while let Some((h, key, meaning)) = &self.slots[slot] {
            if *h == hash && is(key) {
                return Some(*meaning);
            }
            slot = (slot + 1) % SLOTS;
        }
        None
    }
}

fn hash(word: &str) -> u64 {
    word.bytes().fold(SEED, step)
}
