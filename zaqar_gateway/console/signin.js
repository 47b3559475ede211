// Signing in: by what the gateway asks for.

import { discover, signIn } from "./api.js";
import { button, field, FieldError, h, icon, put, submit, textIn } from "./dom.js";
import { keepClient, ownClient } from "./session.js";

const PROJECT = "zaqar-gateway:project";

/**
 * Show the form.
 *
 * @param {(session: import("./session.js").Session) => Promise<void>} entered throws where the gateway does not take them.
 * @param {string} [why] said above it.
 */
export async function showSignIn(main, entered, why = "") {
  const card = h("section", { class: "sign-in card", "aria-labelledby": "sign-in-title" });
  put(main, card);
  let keystone;
  try {
    ({ keystone } = await discover());
  } catch (error) {
    put(
      card,
      brand(),
      h("p", { class: "wrong", role: "alert" }, error.message),
      button("Try again", () => showSignIn(main, entered, why), { kind: "primary" }),
    );
    return;
  }
  put(card, brand(), why && h("p", { class: "note", role: "status" }, why), keystone ? withKeystone(entered) : withProject(entered));
  card.querySelector("input").focus();
}

const brand = () =>
  h("header", null, h("img", { src: "icon.svg", alt: "", width: 32, height: 32 }), h("div", null, h("h1", { id: "sign-in-title" }, "zaqar-gateway"), h("p", null, "Console")));

function form(content, run) {
  const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
  const does = button("Sign in", null, { kind: "primary wide", type: "submit" });
  return h(
    "form",
    { novalidate: true, onsubmit: event => (event.preventDefault(), submit(does, wrong, run)) },
    content,
    wrong,
    does,
  );
}

const text = (name, props = {}) =>
  h("input", { name, autocomplete: "off", spellcheck: "false", autocapitalize: "off", ...props });

function withProject(entered) {
  const project = text("project", { value: localStorage.getItem(PROJECT) ?? "demo", maxlength: 256 });
  const client = text("client", { value: ownClient(), class: "mono", maxlength: 255 });
  const roles = text("roles", { placeholder: "none" });
  return form(
    [
      h("p", { class: "note" }, "This gateway asks for no password: whoever reaches it may use any project."),
      field("Project", project),
      h(
        "details",
        null,
        h("summary", null, icon("chevron"), "Client and roles"),
        field("Client-ID", client, "A UUID. Messages are kept apart by it: a listing leaves out one's own."),
        field("Roles", roles, "Sent as X-ROLES, separated by commas: admin for pools and flavors."),
      ),
    ],
    async () => {
      const name = textIn(project, "Project");
      const id = textIn(client, "Client-ID");
      const session = { project: name, projectName: name, client: id, roles: roles.value.trim(), token: "", user: "", userName: "", expires: 0 };
      try {
        await entered(session);
      } catch (error) {
        // The gateway alone knows whether it takes any text for a Client-ID.
        throw error.status === 400 && error.message.includes("Client-ID") ? new FieldError(client, error.message) : error;
      }
      localStorage.setItem(PROJECT, name);
      keepClient(id);
    },
  );
}

function withKeystone(entered) {
  const client = ownClient();
  const enter = told =>
    entered({
      project: told.project.id,
      projectName: told.project.name ?? told.project.id,
      client,
      roles: told.roles.join(","),
      token: told.token,
      user: told.user.id,
      userName: told.user.name ?? told.user.id,
      expires: Date.parse(told.expires_at),
    });

  const user = text("user", { autocomplete: "username" });
  const password = h("input", { name: "password", type: "password", autocomplete: "current-password" });
  const project = text("project");
  const domain = text("domain", { placeholder: "default" });
  const projectDomain = text("project-domain", { placeholder: "the user's" });
  const byPassword = form(
    [
      field("User", user),
      field("Password", password),
      field("Project", project),
      h(
        "details",
        null,
        h("summary", null, icon("chevron"), "Domains"),
        field("Domain of the user", domain),
        field("Domain of the project", projectDomain),
      ),
    ],
    async () => {
      const what = { user: textIn(user, "User"), password: password.value, project: textIn(project, "Project") };
      if (!what.password) textIn(password, "Password");
      if (domain.value.trim()) what.domain = domain.value.trim();
      if (projectDomain.value.trim()) what.project_domain = projectDomain.value.trim();
      enter(await signIn(what));
    },
  );
  const token = h("input", { name: "token", type: "password", autocomplete: "off", class: "mono" });
  const byToken = form(
    [field("Token", token, "Of a project, as “openstack token issue” prints it.")],
    async () => enter(await signIn({ token: textIn(token, "Token") })),
  );
  const both = [
    ["Password", byPassword],
    ["Token", byToken],
  ];
  const choice = both.map(([name, shown]) =>
    h(
      "button",
      {
        type: "button",
        class: "choice",
        "aria-pressed": "false",
        onclick: () => {
          both.forEach(([, one]) => (one.hidden = one !== shown));
          choice.forEach(one => one.setAttribute("aria-pressed", String(one.textContent === name)));
          shown.querySelector("input").focus();
        },
      },
      name,
    ),
  );
  byToken.hidden = true;
  choice[0].setAttribute("aria-pressed", "true");
  return [h("div", { class: "choices", role: "group", "aria-label": "Sign in with" }, choice), byPassword, byToken];
}
