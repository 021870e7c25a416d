use super::*;

fn class_of(text: &str) -> MigrationClass {
    classify("migrations/20260101-x.js", text).class
}

/// In the form that migrate-mongo writes.
fn up(body: &str) -> String {
    format!(
        "module.exports = {{\n  async up(db, client) {{\n    {body}\n  }},\n\n  async down(db, client) {{\n    await db.collection('users').updateMany({{}}, {{ $unset: {{ a: '' }} }});\n  }}\n}};\n"
    )
}

const ADDITIVE: &[&str] = &[
    "await db.createCollection('audits');",
    "await db.collection('users').createIndex({ email: 1 });",
    "await db.collection('users').createIndex({ email: 1 }, { name: 'by_email', background: true });",
    "await db.collection('a').createIndexes([{ key: { b: 1 } }, { key: { c: -1 } }]);",
    "await db.collection('plans').insertMany([{ name: 'free' }, { name: 'pro' }]);",
    "await db.collection('settings').insertOne({ _id: 'flags', dark: false });",
    "const found = await db.collection('users').find({}).toArray();\n    for (const one of found) { console.log(one._id); }",
    "const names = ['a', 'b'];\n    for (const name of names) await db.createCollection(name);",
    "const n = await db.collection('users').countDocuments();\n    if (n > (10)) { await db.collection('x').insertOne({ n }); }",
    "await db.collection<User>('users').createIndex({ at: 1 });",
    "const session = client.startSession();\n    try { await session.withTransaction(async () => { await db.collection('a').insertOne({}, { session }); }); } finally { await session.endSession(); }",
    "await db.collection('a').insertOne({ text: `made at ${new Date().toISOString()}` }); // deleteMany",
    "const [first, second] = ['a', 'b'];\n    await db.createCollection(first); await db.createCollection(['c', 'd'][1]);",
    "/* drop the old ones later */ await db.createCollection('new');",
    "",
];
const REWRITING: &[&str] = &[
    "await db.collection('users').updateMany({}, { $set: { active: true } });",
    "await db.collection('users').updateOne({ _id: 1 }, [{ $set: { a: '$b' } }]);",
    "await db.collection('users').updateMany({}, { $rename: { nmae: 'name' } });",
    "await db.collection('a').aggregate([{ $match: {} }, { $merge: { into: 'b' } }]).toArray();",
    "await db.collection('a').replaceOne({ _id: 1 }, { a: 1 }, { upsert: true });",
    "await db.renameCollection('a', 'b');",
    "await db.collection('a').rename('b');",
    "for await (const doc of db.collection('a').find()) { await db.collection('a').findOneAndUpdate({ _id: doc._id }, { $set: { n: 1 } }); }",
    "const users = await User.find();\n    for (const user of users) { user.name = user.nmae; await user.save(); }",
];
const DESTRUCTIVE: &[&str] = &[
    "await db.collection('users').updateMany({}, { $unset: { a: 1 } });",
    "await db.collection('users').updateMany({}, { \"$unset\": { a: 1 } });",
    "await db.collection('users').updateMany({}, [{ $unset: 'a' }]);",
    "await db.collection('users').deleteMany({ active: false });",
    "await db.collection('users').drop();",
    "await db.dropCollection('users');",
    "await db.dropDatabase();",
    "await db.collection('users').dropIndex('email_1');",
    "await db.collection('users').dropIndexes();",
    "await db.collection('a').aggregate([{ $out: 'b' }]).toArray();",
    "await db.collection('a').createIndex({ at: 1 }, { expireAfterSeconds: 3600 });",
    "await db.collection('a').updateMany({}, { $pull: { tags: 'x' } });",
    "await db.collection('a').bulkWrite([{ deleteOne: { filter: {} } }]);",
    "const op = '$unset';\n    await db.collection('a').updateMany({}, { [op]: { b: 1 } });",
    "const { deleteMany } = db.collection('a');\n    await deleteMany({});",
    "await Promise.all(['a', 'b'].map((name) => db.collection(name).drop()));",
    "await old(db); async function old(db) { await db.collection('a').deleteOne({}); }",
];
const UNKNOWN: &[&str] = &[
    "await db.collection('a')[method]({});",
    "await db['dr' + 'opCollection']('a');",
    "await db.collection('a').createIndex({ email: 1 }, { unique: true });",
    "await db.command({ collMod: 'a', validator: {} });",
    "await db.command({ profile: 1 });",
    "names.map(db[operation]);",
    "const run = db.collection('a')[method];\n    await Promise.all(names.map(run));",
    "await helper(db);",
    "await helper<User>(db);",
    "const ready = true ? helper(db) : { a: 1 };",
    "const migrate = require('../src/migrate');",
    "const { run } = await import('./run.js');",
    "await db.collection('a').bulkWrite(operations);",
    "await db.collection('a').bulkWrite([{ insertOne: { document: {} } }]);",
    "await db.collection('a')['\\x64rop']();",
    "db.collection('a').\\u0064rop();",
    "const f = make(db); f()();",
    "await run?.(db);",
    "await run`a`;",
    "await db.collection('a').insertOne({}); )",
    "await fetch('https://example.com');",
    "eval('db.x');",
    "const x = /drop/; x;",
];

#[test]
fn migrations_in_the_form_of_migrate_mongo_have_the_class_of_what_they_call() {
    let tables = [
        (MigrationClass::Additive, ADDITIVE),
        (MigrationClass::Rewriting, REWRITING),
        (MigrationClass::Destructive, DESTRUCTIVE),
        (MigrationClass::Unknown, UNKNOWN),
    ];
    let mut wrong = Vec::new();
    for (class, bodies) in tables {
        for body in bodies {
            let found = classify("m/1.js", &up(body));
            if found.class != class {
                wrong.push(format!("{body}\n  is {:?}: {:?}", found.class, found.because));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_usual_form_of_a_migration_is_read() {
    let body = "await db.collection('a').createIndex({ b: 1 });";
    let drop = "await db.collection('a').dropIndex('b_1');";
    let forms = [
        format!(
            "exports.up = async function (db) {{ {body} }};\nexports.down = async function (db) {{ {drop} }};"
        ),
        format!(
            "module.exports.up = async (db, client) => {{ {body} }};\nmodule.exports.down = async db => {{ {drop} }};"
        ),
        format!(
            "export const up = async (db: Db): Promise<void> => {{ {body} }};\nexport const down = async (db: Db): Promise<void> => {{ {drop} }};"
        ),
        format!("export async function up(db) {{ {body} }}\nexport async function down(db) {{ {drop} }}"),
        format!(
            "async function down(db) {{ {drop} }}\nasync function up(db) {{ {body} }}\nmodule.exports = {{ up, down }};"
        ),
        format!(
            "import {{ Db }} from 'mongodb';\nimport {{ MigrationInterface }} from 'mongo-migrate-ts';\nexport class A implements MigrationInterface {{\n public async up(db: Db): Promise<void> {{ {body} }}\n public async down(db: Db): Promise<void> {{ {drop} }}\n}}"
        ),
    ];
    for form in forms {
        let found = classify("m/1.ts", &form);
        assert_eq!(
            (found.class, found.has_down),
            (MigrationClass::Additive, Some(true)),
            "{form}\n{found:?}"
        );
    }
}

#[test]
fn the_way_down_counts_where_the_way_up_goes_through_it() {
    let text = "exports.up = async (db) => { await exports.down(db); };\nexports.down = async (db) => { await db.collection('a').drop(); };";
    assert_eq!(class_of(text), MigrationClass::Destructive);
}

#[test]
fn an_empty_way_down_is_none() {
    let body = "await db.createCollection('a');";
    for down in ["", "// nothing", "throw new Error('there is no way back');"] {
        let text =
            format!("module.exports = {{ async up(db) {{ {body} }}, async down(db) {{ {down}\n }} }};");
        assert_eq!(classify("1.js", &text).has_down, Some(false), "{down}");
    }
    let text = format!("module.exports = {{ async up(db) {{ {body} }} }};");
    assert_eq!(classify("1.js", &text).has_down, Some(false));
}

#[test]
fn a_declaration_wins_and_a_wrong_one_is_named() {
    let script = up("await helper(db);");
    let declared = format!("// migration-class: additive   only adds a view\n{script}");
    assert_eq!(class_of(&declared), MigrationClass::Additive);
    let python = classify("1.py", "# migration-class: rewriting\ndb.a.update_many({}, {})\n");
    assert_eq!(python.class, MigrationClass::Rewriting);
    let wrong = classify("1.js", &format!("// migration-class: harmless\n{script}"));
    assert_eq!(wrong.class, MigrationClass::Unknown);
    assert!(wrong.because[0].contains("harmless"), "{wrong:?}");
    let two = format!("// migration-class: additive\n// migration-class: destructive\n{script}");
    assert_eq!(class_of(&two), MigrationClass::Unknown);
}

#[test]
fn what_is_no_script_is_never_additive() {
    assert_eq!(
        classify("1.py", "def up(db): pass").class,
        MigrationClass::Unknown
    );
    assert_eq!(
        classify("1.json", "{\"insert\": []}").class,
        MigrationClass::Unknown
    );
    assert_eq!(
        classify("1.json", "{\"update\": [{\"$unset\": \"price\"}]}").class,
        MigrationClass::Destructive
    );
    let long = format!("{}{}", up(""), " ".repeat(LIMIT_BYTES));
    assert_eq!(class_of(&long), MigrationClass::Unknown);
}

#[test]
fn the_configuration_of_migrate_mongo_is_read() {
    let text = "const config = {\n  mongodb: { url: process.env.URL, databaseName: 'shop' },\n  // The migrations dir\n  migrationsDir: \"db/migrations\",\n  changelogCollectionName: 'applied',\n  moduleSystem: 'commonjs',\n};\nmodule.exports = config;\n";
    let found = MigrateMongo::read(text);
    assert_eq!(found.folder.as_deref(), Some("db/migrations"));
    assert_eq!(found.changelog.as_deref(), Some("applied"));
    let computed = MigrateMongo::read("module.exports = { migrationsDir: path.join(__dirname, 'm') };");
    assert_eq!(computed, MigrateMongo::default());
}
