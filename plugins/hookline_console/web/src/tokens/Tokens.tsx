import { useState } from "preact/hooks";
import { api, body, type Schemas } from "../api/client";
import { usePages, useResource } from "../api/resource";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { Button } from "../ui/Button";
import { Copy } from "../ui/Copy";
import { ActionDialog, Dialog } from "../ui/Dialog";
import { Empty, Loaded } from "../ui/Notices";
import { Page, Section } from "../ui/Page";
import { type Column, Table } from "../ui/Table";
import { Time } from "../ui/Time";
import { showToast } from "../ui/toasts";
import { CreateToken } from "./CreateToken";

const said = texts.tokens;

type Token = Schemas["TokenView"];
type Rejected = Schemas["RejectedSignInView"];

/** The access tokens, and the requests with tokens that weren't valid. */
export function Tokens() {
  const tokens = useResource((signal) => body(api.GET("/api/v1/tokens", { signal })), []);
  const [creating, setCreating] = useState(false);
  const [created, setCreated] = useState<string>();
  const [revoking, setRevoking] = useState<Token>();
  const revoke = async (token: Token) => {
    await api.DELETE("/api/v1/tokens/{token_id}", { params: { path: { token_id: token.id } } });
    showToast(said.revokedToast(token.name));
    tokens.reload();
  };
  return (
    <Page
      title={texts.pages.tokens}
      lead={said.lead}
      actions={
        <Button kind="primary" scope="admin" onClick={() => setCreating(true)}>
          {said.create}
        </Button>
      }
    >
      <div class="card">
        <Loaded resource={tokens}>
          {({ items }) =>
            items.length === 0 ? (
              <Empty title={said.none}>{said.noneDetail}</Empty>
            ) : (
              <Table
                label={texts.pages.tokens}
                columns={columns(setRevoking)}
                rows={items}
                keyOf={(token) => token.id}
              />
            )
          }
        </Loaded>
      </div>
      <RejectedSignIns />
      {creating && (
        <CreateToken
          onClose={() => setCreating(false)}
          onCreated={(token) => {
            setCreating(false);
            setCreated(token);
            tokens.reload();
          }}
        />
      )}
      {created && (
        <Dialog
          title={said.created}
          onClose={() => setCreated(undefined)}
          actions={<Copy text={created} label={said.copy} />}
        >
          <p>{said.createdDetail}</p>
          <code class="foreign">{created}</code>
        </Dialog>
      )}
      {revoking && (
        <ActionDialog
          title={said.revokeTitle(revoking.name)}
          action={said.revoke}
          kind="danger"
          onAction={() => revoke(revoking)}
          onClose={() => setRevoking(undefined)}
        >
          <p>{said.revokeDetail}</p>
        </ActionDialog>
      )}
    </Page>
  );
}

const columns = (revoke: (token: Token) => void): readonly Column<Token>[] => [
  { key: "name", title: said.name, cell: (token) => <strong>{token.name}</strong> },
  {
    key: "state",
    title: said.state,
    width: "7rem",
    cell: (token) => (
      <Badge tone={token.valid ? "ok" : "idle"}>
        {token.valid ? said.valid : token.revoked_at ? said.revoked : said.expired}
      </Badge>
    ),
  },
  { key: "scope", title: said.scope, width: "7rem", cell: (token) => token.scopes.join(", ") },
  {
    key: "flows",
    title: said.flows,
    from: "medium",
    cell: (token) => token.flows?.join(", ") ?? said.allFlows,
  },
  {
    key: "expires",
    title: said.expires,
    width: "10rem",
    from: "medium",
    cell: (token) =>
      token.expires ? <Time at={token.expires} relative /> : <span class="muted">{said.never}</span>,
  },
  {
    key: "created",
    title: said.createdAt,
    width: "9rem",
    from: "wide",
    cell: (token) => <Time at={token.created_at} />,
  },
  { key: "by", title: said.createdBy, width: "9rem", from: "wide", cell: (token) => token.created_by },
  {
    key: "revoke",
    title: texts.common.actions,
    width: "6rem",
    align: "right",
    cell: (token) =>
      token.valid && (
        <Button small kind="danger" scope="admin" onClick={() => revoke(token)}>
          {said.revoke}
        </Button>
      ),
  },
];

function RejectedSignIns() {
  const rejected = usePages(
    (cursor, signal) =>
      body(api.GET("/api/v1/tokens/rejected", { params: { query: { cursor, limit: 20 } }, signal })),
    [],
  );
  return (
    <Section title={said.rejected}>
      <Loaded resource={rejected} lines={3}>
        {(rows) =>
          rows.length === 0 ? (
            <Empty title={said.noneRejected} />
          ) : (
            <>
              <Table label={said.rejected} columns={REJECTED} rows={rows} keyOf={(one) => one.id} />
              {rejected.more && (
                <p class="vtable-foot">
                  <Button kind="quiet" onClick={rejected.more}>
                    {texts.common.more}
                  </Button>
                </p>
              )}
            </>
          )
        }
      </Loaded>
    </Section>
  );
}

const REJECTED: readonly Column<Rejected>[] = [
  { key: "at", title: said.at, width: "12rem", cell: (one) => <Time at={one.at} /> },
  { key: "address", title: said.address, cell: (one) => one.address },
  { key: "reason", title: said.reason, cell: (one) => said.reasons[one.reason] },
  { key: "token", title: said.token, from: "medium", cell: (one) => one.token ?? "–" },
];
