"""Which images a caller may see and change; what he may not see does not exist for him."""

from sqlalchemy import ColumnElement, and_, or_, true
from sqlmodel import Session, col, select

from api.common.context import Context
from api.common.policy import Policy
from api.image.errors import forbidden, image_not_found
from api.image.fields import ID
from infra.tables.image import Image, Member


class Access:
    """Rules of the policy, and Glance's own visibility, for one caller."""

    def __init__(self, policy: Policy, caller: Context) -> None:
        self._policy, self.caller = policy, caller
        self.sees_all = policy.allows(caller, "sees_all_images")

    def allows(self, rule: str, image: Image | None = None) -> bool:
        owner = self.caller.project_id if image is None else image.owner
        return self._policy.allows(self.caller, rule, {"project_id": owner, "user_id": self.caller.user_id})

    def enforce(self, rule: str, image: Image | None = None) -> None:
        if not self.allows(rule, image):
            raise forbidden(f"You are not authorized to complete {rule} action.")

    def owns(self, image: Image) -> bool:
        return image.owner is not None and image.owner == self.caller.project_id

    def find(self, session: Session, image_id: str, *, lock: bool = False) -> Image:
        """The image, if the caller may see it; locked against other writers until the transaction ends; else 404."""
        image = session.get(Image, image_id, with_for_update=lock) if ID.match(image_id) else None
        if image is None or not self._sees(session, image):
            raise image_not_found(image_id)
        self.enforce("get_image", image)
        return image

    def change(self, session: Session, image_id: str, rule: str) -> Image:
        """The image, locked, for a change that `rule` allows the caller; 403 or 404."""
        image = self.find(session, image_id, lock=True)
        self.enforce(rule, image)
        return image

    def _sees(self, session: Session, image: Image) -> bool:
        if self.sees_all or self.owns(image) or image.visibility in ("public", "community"):
            return True
        return image.visibility == "shared" and session.get(Member, (image.id, self.caller.project_id)) is not None

    def listed(self, visibility: str | None, member_status: str) -> ColumnElement[bool]:
        """Which images a list shows: not the community's, unless they are asked for."""
        mine = col(Image.owner) == self.caller.project_id
        shared_ids = select(Member.image_id).where(Member.member_id == self.caller.project_id)
        if member_status != "all":
            shared_ids = shared_ids.where(Member.status == member_status)
        shared = and_(col(Image.visibility) == "shared", col(Image.id).in_(shared_ids))
        wanted = true() if visibility in (None, "all") else col(Image.visibility) == visibility
        if self.sees_all:
            return wanted
        reachable = [col(Image.visibility) == "public", mine, shared]
        if visibility in ("community", "all"):
            reachable.append(col(Image.visibility) == "community")
        return and_(or_(*reachable), wanted)
