"""Two people chat: what they see, and what happens when a line is cut."""

from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.console import Console


def test_a_message_arrives_and_its_ticks_tell_how_far(console: Console) -> None:
    console.driver.write("I am two streets away")
    tick = console.driver.bubble("I am two streets away").locator(".tick")
    expect(console.passenger.bubble("I am two streets away")).to_be_visible()
    expect(tick).to_have_text("Delivered")
    console.passenger.look_at()
    expect(tick).to_have_text("Read")


def test_both_write_and_both_see_the_same_in_the_same_order(console: Console) -> None:
    for number in range(3):
        console.driver.write(f"Driver's words, number {number}")
        console.passenger.write(f"Passenger's words, number {number}")
    expect(console.driver.messages).to_have_count(6)
    expect(console.passenger.messages).to_have_count(6)
    stored = [message["message"] for message in console.history()]
    for phone in (console.driver, console.passenger):
        assert [item.locator("p").inner_text() for item in phone.messages.all()] == stored


def test_unread_messages_are_counted_where_they_are_out_of_sight(console: Console) -> None:
    for number in range(20):
        console.send("system", f"Notice number {number}", message_type="system")
    console.passenger.look_at()
    expect(console.passenger.messages).to_have_count(20)
    console.passenger.place.get_by_role("log").evaluate("element => { element.scrollTop = 0 }")
    expect(console.passenger.button("To the latest")).to_be_visible()
    console.driver.look_at()
    console.driver.write("Can you see me?")
    console.driver.write("On the other side of the road")
    jump = console.passenger.place.locator(".jump")
    expect(jump).to_have_text("2 unread messages")
    jump.click()
    expect(jump).to_be_hidden()


def test_unread_messages_that_are_in_sight_are_marked_and_not_counted(console: Console) -> None:
    console.driver.write("Can you see me?")
    expect(console.passenger.bubble("Can you see me?")).to_be_visible()
    expect(console.passenger.place.locator(".jump")).to_be_hidden()
    expect(console.passenger.place.locator(".new")).to_be_visible()


def test_presence_and_typing_are_shown(console: Console) -> None:
    about = console.driver.place.locator(".who p")
    expect(about).to_have_text("online")
    console.passenger.box.press_sequentially("I am comi", delay=30)
    expect(about).to_have_text("typing…")
    console.passenger.line().click()
    expect(about).to_have_text("offline")


def test_a_quick_reply_is_sent_with_its_id(console: Console) -> None:
    console.passenger.button("Two minutes, please").click()
    expect(console.driver.bubble("Two minutes, please")).to_be_visible()
    assert console.history()[-1]["metadata"] == {"quick_reply_id": "minutes_2"}


def test_a_message_from_a_terminal_shows_up_on_both_phones(console: Console) -> None:
    console.send("driver", "Hello from a terminal")
    expect(console.driver.bubble("Hello from a terminal")).to_have_class("message own")
    expect(console.passenger.bubble("Hello from a terminal")).to_be_visible()


def test_a_phone_that_was_cut_is_healed_and_sends_what_it_kept(console: Console) -> None:
    console.passenger.line().click()
    expect(console.driver.place.locator(".who p")).to_have_text("offline")
    for number in range(3):
        console.driver.write(f"Missed, number {number}")
    console.passenger.write("Kept for later")
    expect(console.passenger.waiting.locator(".tick")).to_have_text("Waiting")
    expect(console.passenger.notice).to_contain_text("1 message will be sent when it is back")
    expect(console.driver.messages).to_have_count(3)
    expect(console.passenger.messages).to_have_count(0)

    console.passenger.line().click()
    expect(console.passenger.notice).to_contain_text("Healed: 3 missed messages")
    expect(console.passenger.messages).to_have_count(4)
    expect(console.driver.bubble("Kept for later")).to_be_visible()
    assert [message["message"] for message in console.history()].count("Kept for later") == 1


def test_an_unsent_message_survives_a_reload(console: Console) -> None:
    console.driver.line().click()
    console.driver.write("Written in a tunnel")
    expect(console.driver.waiting).to_be_visible()
    console.page.reload()
    console.ready()
    expect(console.passenger.bubble("Written in a tunnel")).to_be_visible()
    assert len(console.history()) == 1


def test_older_history_loads_on_scrolling_without_moving_the_view(open_console: Open) -> None:
    console = open_console()
    for number in range(70):
        console.send("system", f"Notice number {number}", message_type="system")
    console.page.reload()
    console.ready()
    phone = console.driver
    expect(phone.messages).to_have_count(50)
    log = phone.place.get_by_role("log")
    log.evaluate("element => { element.scrollTop = 0 }")
    expect(phone.messages).to_have_count(70)
    expect(phone.messages.filter(has_text="Notice number 20")).to_be_in_viewport()
    assert log.evaluate("element => element.scrollTop") > 0
    expect(phone.button("Earlier messages")).to_be_hidden()


def test_sending_scrolls_to_the_new_message(console: Console) -> None:
    phone = console.driver
    for number in range(20):
        console.send("system", f"Notice number {number}", message_type="system")
    expect(phone.messages).to_have_count(20)
    phone.look_at()
    log = phone.place.get_by_role("log")
    latest = phone.button("To the latest")
    log.evaluate("element => { element.scrollTop = 0 }")
    expect(latest).to_be_visible()
    phone.write("Written while reading what was")
    expect(phone.bubble("Written while reading")).to_be_in_viewport()
    log.evaluate("element => { element.scrollTop = 0 }")
    expect(latest).to_be_visible()
    phone.button("I am here").click()
    expect(phone.bubble("I am here")).to_be_in_viewport()
    expect(latest).to_be_hidden()


def test_a_view_that_is_resized_at_the_end_stays_there(console: Console) -> None:
    for number in range(20):
        console.send("system", f"Notice number {number}", message_type="system")
    console.driver.look_at()
    expect(console.driver.messages).to_have_count(20)
    log = console.driver.place.get_by_role("log")
    log.evaluate(  # as when a scroll event comes between the resize and its observer
        "element => { element.style.flex = '0 0 150px'; element.dispatchEvent(new Event('scroll')) }"
    )
    console.page.wait_for_function(
        "([log]) => log.scrollHeight - log.scrollTop - log.clientHeight < 1", arg=[log.element_handle()]
    )
    expect(console.driver.button("To the latest")).to_be_hidden()


def test_a_closed_booking_refuses_what_was_written_before_it_was_known_to_be_closed(console: Console) -> None:
    silenced = console.driver.place.locator(".silenced")
    console.driver.line().click()
    console.driver.write("One more thing")
    console.send("system", "The ride is over", message_type="system", metadata={"event": "booking_closed"})
    expect(console.passenger.place.locator(".silenced")).to_contain_text("This booking is closed")
    expect(silenced).to_be_hidden()
    console.driver.line().click()
    failed = console.driver.place.locator(".message.failed")
    expect(failed).to_contain_text("Not sent. This booking is closed.")
    expect(silenced).to_contain_text("This booking is closed")
    expect(console.driver.box).to_be_hidden()
    console.send("system", "A new ride", message_type="system", metadata={"event": "booking_opened"})
    expect(console.driver.box).to_be_visible()
    failed.get_by_role("button", name="Try again").click()
    expect(console.passenger.bubble("One more thing")).to_be_visible()
    expect(failed).to_be_hidden()


def test_markup_in_a_message_is_text(console: Console) -> None:
    text = "<img src=x onerror='document.title=1'> & <b>bold</b>"
    console.driver.write(text)
    bubble = console.passenger.bubble("onerror")
    expect(bubble.locator("p")).to_have_text(text)
    expect(bubble.locator("img, b")).to_have_count(0)


def test_many_messages_in_a_burst_all_arrive_in_order(console: Console) -> None:
    for number in range(25):
        console.driver.write(f"Burst {number:02}")
    expect(console.passenger.messages).to_have_count(25)
    texts = console.passenger.messages.locator("p").all_inner_texts()
    assert texts == [f"Burst {number:02}" for number in range(25)]
