// Signing in: by what the gateway asks for.

import { ApiError, discover, signIn } from "./api.js";
import { busy, button, field, h, icon, put } from "./dom.js";
import { keepClient, ownClient } from "./session.js";

const PROJECT = "zaqar-gateway:project";

/**
 * Show the form.
 *
 * @param {(session: import("./session.js").Session) => void} entered
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
  const submit = button("Sign in", null, { kind: "primary wide", type: "submit" });
  return h(
    "form",
    {
      novalidate: true,
      onsubmit: async event => {
        event.preventDefault();
        wrong.hidden = true;
        await busy(submit, async () => {
          try {
            await run();
          } catch (error) {
            wrong.textContent = error.message;
            wrong.hidden = false;
          }
        });
      },
    },
    content,
    wrong,
    submit,
  );
}

const text = (name, props = {}) =>
  h("input", { name, autocomplete: "off", spellcheck: "false", autocapitalize: "off", ...props });

function needed(input, what) {
  const value = input.value.trim();
  if (!value) {
    input.focus();
    throw new ApiError(0, `${what} is missing.`);
  }
  return value;
}

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
    () => {
      const name = needed(project, "Project");
      localStorage.setItem(PROJECT, name);
      keepClient(needed(client, "Client-ID"));
      entered({
        project: name,
        projectName: name,
        client: client.value.trim(),
        roles: roles.value.trim(),
        token: "",
        userName: "",
        expires: 0,
      });
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
      const what = { user: needed(user, "User"), password: password.value, project: needed(project, "Project") };
      if (!what.password) needed(password, "Password");
      if (domain.value.trim()) what.domain = domain.value.trim();
      if (projectDomain.value.trim()) what.project_domain = projectDomain.value.trim();
      enter(await signIn(what));
    },
  );
  const token = h("input", { name: "token", type: "password", autocomplete: "off", class: "mono" });
  const byToken = form(
    [field("Token", token, "Of a project, as “openstack token issue” prints it.")],
    async () => enter(await signIn({ token: needed(token, "Token") })),
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
