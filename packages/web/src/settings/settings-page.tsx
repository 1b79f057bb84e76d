import { useSearch } from "@tanstack/react-router";
import { useMay } from "../app/caller.tsx";
import { Page } from "../ui/page.tsx";
import { Tabs } from "../ui/tabs.tsx";
import { Accounts } from "./accounts.tsx";
import { MyAccount } from "./my-account.tsx";
import { Tokens } from "./tokens.tsx";

export function SettingsPage() {
  const { tab = "me" } = useSearch({ from: "/settings" });
  const isAdmin = useMay("admin");
  const tabs = [
    { id: "me", title: "My account" },
    ...(isAdmin
      ? [
          { id: "accounts", title: "Accounts" },
          { id: "tokens", title: "Tokens" },
        ]
      : []),
  ];
  return (
    <Page title="Settings">
      <Tabs tabs={tabs} current={tab} />
      {tab === "me" && <MyAccount />}
      {tab === "accounts" && isAdmin && <Accounts />}
      {tab === "tokens" && isAdmin && <Tokens />}
    </Page>
  );
}
