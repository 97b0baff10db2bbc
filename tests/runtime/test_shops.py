"""What a function may see and do in its shop's name, and in others'."""

from runtime import Context, Event, function
from runtime.errors import ShopForbidden
from runtime.settings import Settings
from state.credentials import put_credential
from state.keyring import KeyRing
from state.shops import open_shop
from tests.runtime.harness import working

ALERT = "INSERT INTO alert (tenant, kind, subject, message) VALUES ($1, 'test', $2, 'm')"


class Task(Event):
    shop: int = 0


class Child(Event):
    pass


@function()
async def child(event: Child, ctx: Context) -> str:
    return ctx.shop.name if ctx.shop else "installation"


async def test_the_installation_works_for_several_shops_in_one_transaction(
    settings: Settings,
) -> None:
    seen: list[object] = []

    @function()
    async def receive(event: Task, ctx: Context) -> None:
        async with ctx.transaction() as transaction:
            for tenant in (1, 2):
                async with transaction.shop(tenant) as bound:
                    await bound.connection.execute(ALERT, tenant, tenant)
                    rows = await bound.connection.fetch("SELECT tenant FROM alert")
                    seen.append([row["tenant"] for row in rows])
                    bound.dispatch(Child())
            seen.append(len(await transaction.connection.fetch("SELECT FROM alert")))

    async with working(settings, [receive, child]) as platform:
        await open_shop(platform.database, "uno")
        await open_shop(platform.database, "dos")
        assert (await platform.run(Task())).state == "done"
        assert seen == [[1], [2], 0]
        told = "SELECT count(*) FROM outcome WHERE result IN ('\"uno\"', '\"dos\"')"
        async with platform.database.engine() as connection:
            while await connection.fetchval(told) < 2:
                await connection.execute("SELECT pg_sleep(0.02)")


async def test_a_shop_cannot_work_for_another(settings: Settings) -> None:
    @function()
    async def reach(event: Task, ctx: Context) -> str:
        async with ctx.transaction() as transaction:
            try:
                async with transaction.shop(2):
                    return "entered"
            except ShopForbidden:
                return "forbidden"

    async with working(settings, [reach]) as platform:
        await open_shop(platform.database, "uno")
        await open_shop(platform.database, "dos")
        assert (await platform.run(Task(), tenant=1)).result == '"forbidden"'


async def test_a_function_opens_the_secrets_of_its_own_shop_alone(settings: Settings) -> None:
    @function()
    async def secrets(event: Task, ctx: Context) -> list[str | None]:
        return [await ctx.secret("whatsapp", "number"), await ctx.secret("whatsapp", "other")]

    assert settings.encryption_key is not None
    ring = KeyRing.parse(settings.encryption_key.get_secret_value())
    async with working(settings, [secrets]) as platform:
        for tenant, name in ((1, "uno"), (2, "dos")):
            await open_shop(platform.database, name)
            async with platform.database.tenant(tenant) as connection:
                await put_credential(
                    connection,
                    ring,
                    tenant=tenant,
                    purpose="whatsapp",
                    name="number",
                    secret=f"token-{name}",
                )
        assert (await platform.run(Task(), tenant=2)).result == '["token-dos",null]'
        assert (await platform.run(Task())).result == "[null,null]"


async def test_reading_sees_the_shop_alone_and_locks_nothing(settings: Settings) -> None:
    @function()
    async def look(event: Task, ctx: Context) -> list[int]:
        async with ctx.reading() as connection:
            return [row["tenant"] for row in await connection.fetch("SELECT tenant FROM shop")]

    async with working(settings, [look]) as platform:
        await open_shop(platform.database, "uno")
        await open_shop(platform.database, "dos")
        assert (await platform.run(Task(), tenant=2)).result == "[2]"
