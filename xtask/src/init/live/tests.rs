use super::*;

fn service(name: &str, root: Option<&str>, repository: Option<&str>) -> ListedService {
    let settings = serde_json::json!({"rootDirectory": root, "source": {"repo": repository}});
    ListedService {
        project: "p".into(),
        project_name: "shop".into(),
        environment: "e".into(),
        service: format!("id of {name}"),
        service_name: name.into(),
        domains: vec![format!("{name}.example.com")],
        settings: serde_json::from_value(settings).unwrap(),
        is_linked: false,
    }
}

fn chosen(services: &[ListedService], backend: Option<&str>) -> Result<String, String> {
    let missing = || Known::missing("");
    let mut platforms = PlatformFacts {
        railway_project: missing(),
        railway_environment: missing(),
        railway_service: missing(),
        backend_url: missing(),
        vercel_org: missing(),
        vercel_project: missing(),
        domain: missing(),
        protection_bypass: None,
    };
    let mut draft = ToBeKnown {
        repository: &mut Known::found("Orchard/shop", "git"),
        branch: &mut missing(),
        services: &mut Services {
            backends: Vec::new(),
            frontends: Vec::new(),
            workers: Vec::new(),
            backend_parts: Vec::new(),
            frontend_parts: Vec::new(),
            backend: backend.map(str::to_owned),
            frontend: Some("web".into()),
            backend_source: missing(),
            frontend_source: missing(),
        },
        platforms: &mut platforms,
    };
    railway(Path::new("/"), services, &mut draft, &mut Vec::new())?;
    Ok(platforms.railway_service.value.unwrap())
}

#[test]
fn the_service_of_the_repository_is_chosen_and_none_where_two_may_be_meant() {
    let others = [service("other", None, Some("orchard/fair"))];
    assert!(
        chosen(&others, Some("api"))
            .unwrap_err()
            .contains("no service of this repository")
    );
    let by_repository = [
        service("a", None, Some("orchard/shop")),
        service("b", None, Some("x/y")),
    ];
    assert_eq!(chosen(&by_repository, Some("api")).unwrap(), "id of a");
    let by_folder = [
        service("one", Some("/web"), Some("orchard/shop")),
        service("two", Some("/api"), Some("orchard/shop")),
        service("three", Some("/jobs"), Some("orchard/shop")),
    ];
    assert_eq!(chosen(&by_folder, Some("api")).unwrap(), "id of two");
    // The repository was disconnected: the names are left.
    let by_name = [service("api", None, None), service("jobs", None, None)];
    assert_eq!(chosen(&by_name, Some("packages/api")).unwrap(), "id of api");
    let line = chosen(&by_name, Some("backend")).unwrap_err();
    assert!(
        line.contains("which service is meant? api of shop, jobs of shop"),
        "{line}"
    );
}
