import { useEffect, useState } from "preact/hooks";
import { useLocation, useRoute } from "preact-iso";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { texts } from "../texts";
import { Badge, type Tone } from "../ui/Badge";
import { Button } from "../ui/Button";
import { ActionDialog } from "../ui/Dialog";
import { Empty, Loaded } from "../ui/Notices";
import { Facts, Page, Section } from "../ui/Page";
import { describeProblem } from "../ui/problems";
import { Time } from "../ui/Time";
import { showToast } from "../ui/toasts";
import { type Authorization, untilEnded } from "./authorization";
import { CredentialForm } from "./CredentialForm";
import { stateOf } from "./Credentials";
import { hostsOf } from "./limits";

const said = texts.credentials;

type Credential = Schemas["CredentialView"];
type Check = Schemas["CredentialCheckView"];

const CHECK_TONES: Record<Check["state"], Tone> = { valid: "ok", failed: "bad", unknown: "idle" };

/** One credential: its state, its limits, the flows that use it, and what can be done with it. */
export function Credential() {
  const { name = "" } = useRoute().params;
  const { route } = useLocation();
  const path = { params: { path: { name } } };
  const credential = useResource(
    (signal) => body(api.GET("/api/v1/credentials/{name}", { ...path, signal })),
    [name],
  );
  const [check, setCheck] = useState<Check>();
  const [changing, setChanging] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const verify = async () => setCheck(await body(api.POST("/api/v1/credentials/{name}/verify", path)));
  const remove = async () => {
    await api.DELETE("/api/v1/credentials/{name}", path);
    showToast(said.deleted(name));
    route("/credentials");
  };
  const value = credential.value;
  return (
    <Page
      title={name}
      parent={{ title: texts.pages.credentials, href: "/credentials" }}
      beside={value && <Badge tone={stateOf(value).tone}>{stateOf(value).text}</Badge>}
      actions={
        value && (
          <>
            <Button scope="operate" onClick={verify}>
              {said.verify}
            </Button>
            <Button scope="admin" onClick={() => setChanging(true)}>
              {said.changeIt}
            </Button>
            <Button kind="danger" scope="admin" onClick={() => setDeleting(true)}>
              {texts.common.delete}
            </Button>
          </>
        )
      }
    >
      <Loaded resource={credential}>
        {(shown) => (
          <>
            {check && (
              <p class="card note" role="status">
                <Badge tone={CHECK_TONES[check.state]}>{said.checks[check.state]}</Badge>{" "}
                <span class="foreign">{check.message}</span>
              </p>
            )}
            {shown.warnings.map((warning) => (
              <p key={warning} class="card note foreign">
                <Badge tone="warn">{said.warning}</Badge> {warning}
              </p>
            ))}
            <About credential={shown} />
            {shown.tokens && <OAuth credential={shown} onDone={credential.reload} />}
            <UsedBy flows={shown.used_by} />
          </>
        )}
      </Loaded>
      {changing && value && (
        <CredentialForm
          existing={value}
          onClose={() => setChanging(false)}
          onSaved={() => {
            setChanging(false);
            showToast(said.saved);
            credential.reload();
          }}
        />
      )}
      {deleting && (
        <ActionDialog
          title={said.deleteTitle(name)}
          action={texts.common.delete}
          kind="danger"
          onAction={remove}
          onClose={() => setDeleting(false)}
        >
          <p>{said.deleteDetail(value?.used_by ?? [])}</p>
        </ActionDialog>
      )}
    </Page>
  );
}

function About({ credential }: { credential: Credential }) {
  return (
    <section class="card" aria-label={said.about}>
      <Facts
        facts={[
          [
            said.type,
            <a key="type" href={`/components/credential%20type/${encodeURIComponent(credential.type)}`}>
              {credential.type}
            </a>,
          ],
          [said.limits.flows, credential.flows.join(", ") || said.limits.allFlows],
          [said.limits.hosts, hostsOf(credential)],
          [said.updated, <Time key="updated" at={credential.updated_at} />],
          [said.problem, credential.problem ?? "–"],
        ]}
      />
    </section>
  );
}

function UsedBy({ flows }: { flows: readonly string[] }) {
  return (
    <Section title={said.usedBy}>
      {flows.length === 0 ? (
        <Empty title={said.unused}>{said.unusedDetail}</Empty>
      ) : (
        <ul class="links">
          {flows.map((flow) => (
            <li key={flow}>
              <a href={`/flows/${encodeURIComponent(flow)}`}>{flow}</a>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

/** The access tokens of OAuth 2, and connecting the credential with an account. */
function OAuth({ credential, onDone }: { credential: Credential; onDone: () => void }) {
  const [begun, setBegun] = useState<Authorization>();
  const connect = async () => {
    // Opened at once, since browsers block windows that aren't opened by a click.
    const opened = window.open("", "_blank");
    try {
      const made = await body(
        api.POST("/api/v1/credentials/{name}/authorize", { params: { path: { name: credential.name } } }),
      );
      setBegun(made);
      if (opened && isWebAddress(made.url)) {
        opened.opener = null;
        opened.location.href = made.url;
      }
    } catch (error) {
      opened?.close();
      throw error;
    }
  };
  const waiting = begun?.state === "waiting";
  useEffect(() => {
    if (!begun || !waiting) return;
    const page = new AbortController();
    const params = { path: { name: credential.name, id: begun.id } };
    const ask = (signal: AbortSignal) =>
      body(api.GET("/api/v1/credentials/{name}/authorize/{id}", { params, signal }));
    untilEnded(ask, page.signal).then(
      (ended) => {
        if (ended === null) return;
        setBegun(ended);
        onDone();
      },
      (error) => setBegun({ ...begun, state: "failed", message: describeProblem(error).detail }),
    );
    return () => page.abort();
  }, [begun, waiting, credential.name, onDone]);

  const tokens = credential.tokens;
  return (
    <Section
      title={said.oauth}
      actions={
        <Button scope="admin" kind="primary" onClick={connect}>
          {said.connect}
        </Button>
      }
    >
      {begun && (
        <p class="note" role="status">
          <Badge tone={waiting ? "wait" : begun.state === "done" ? "ok" : "bad"}>
            {said.authorization[begun.state]}
          </Badge>{" "}
          {waiting && isWebAddress(begun.url) ? (
            <a href={begun.url} target="_blank" rel="noreferrer">
              {said.openAgain}
            </a>
          ) : (
            <span class="foreign">{begun.message}</span>
          )}
        </p>
      )}
      {tokens && (
        <Facts
          facts={[
            [said.state, said.tokenStates[tokens.state]],
            [said.expires, <Time key="expires" at={tokens.expires_at} />],
            [said.scope, tokens.scope ?? "–"],
            [said.problem, tokens.problem ?? "–"],
          ]}
        />
      )}
    </Section>
  );
}

/** Whether a URL leads to a page, and isn't one that runs as a script. */
function isWebAddress(url: string): boolean {
  return /^https?:\/\//i.test(url);
}
