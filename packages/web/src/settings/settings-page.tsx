import { useSearch } from "@tanstack/react-router";
import { lazy, Suspense } from "react";
import { useMay } from "../app/caller.tsx";
import { Page } from "../ui/page.tsx";
import { Tabs } from "../ui/tabs.tsx";
import { MyAccount } from "./my-account.tsx";

const parts = [
  { id: "me", title: "My account", Part: MyAccount, isAdmins: false },
  { id: "accounts", title: "Accounts", Part: lazy(() => import("./accounts.tsx")), isAdmins: true },
  { id: "tokens", title: "Tokens", Part: lazy(() => import("./tokens.tsx")), isAdmins: true },
  { id: "retention", title: "Retention", Part: lazy(() => import("./retention.tsx")), isAdmins: false },
  { id: "config", title: "Configuration", Part: lazy(() => import("./config.tsx")), isAdmins: true },
  { id: "diagnostics", title: "Diagnostics", Part: lazy(() => import("./diagnostics.tsx")), isAdmins: true },
] as const;

export function SettingsPage() {
  const { tab = "me" } = useSearch({ from: "/settings" });
  const isAdmin = useMay("admin");
  const shown = parts.filter((part) => isAdmin || !part.isAdmins);
  const Part = shown.find(({ id }) => id === tab)?.Part;
  return (
    <Page title="Settings">
      <Tabs tabs={shown} current={tab} />
      <Suspense fallback={<div className="h-64" />}>{Part !== undefined && <Part />}</Suspense>
    </Page>
  );
}
