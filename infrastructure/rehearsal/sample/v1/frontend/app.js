// Lists properties from the backend that the page names in data-backend.
const list = document.getElementById("properties");

async function show() {
  const base = document.body.dataset.backend;
  const response = await fetch(`${base}/api/properties?limit=20`);
  if (!response.ok) throw new Error(`the backend answered ${response.status}`);
  const { items } = await response.json();
  for (const item of items) {
    const entry = document.createElement("li");
    entry.textContent = `${item.title}, ${item.city}: ${item.price}`;
    list.append(entry);
  }
}

show().catch((error) => {
  list.textContent = `The list is not available: ${error.message}`;
});
